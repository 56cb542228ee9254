import type { Readable } from 'node:stream';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseByteSize } from '#shared/byte-size.ts';
import type { Environment } from '#shared/env.ts';
import type { PoolAddress } from '#worker/audit/open-pool.ts';

/** What a command is given besides its options: nothing of it is global, so that commands can be tested. */
export interface CommandEnvironment {
  readonly settings: Environment;
  /** Aborted by the first Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  readonly version: string;
  readonly now: () => number;
  readonly random: () => number;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  /** Whether standard output is a terminal: only then is a line written over. */
  readonly terminal: boolean;
  out(text: string): void;
  err(text: string): void;
  /** Bytes resident in this process. */
  memoryBytes(): number;
}

/** One file of `worker/cli` adds one command. */
export type RegisterCommand = (program: Command, environment: CommandEnvironment) => void;

/** `--keystore` and `--password-file`: an encrypted key instead of the plain one in a file. */
export function addKeystoreOptions(command: Command): Command {
  return command
    .option('--keystore <file>', 'sign with the key of this encrypted wallet instead; asks for its password')
    .option('--password-file <file>', 'read the password from the first line of a file');
}

/** `--data-dir` of a command that reads a pool. */
export const folderOption = ({ dataDir }: CommandEnvironment['settings']): Option =>
  new Option(
    '--data-dir <folder>',
    `read the pool that stands in this folder and is not running (default: ${dataDir}, where nobody answers at the usual address)`,
  ).conflicts('coordinator');

/** Where a command finds the pool that it reads: a folder that is named is read, whoever answers at the usual address. */
export function poolAddress(
  flags: { readonly coordinator?: string; readonly dataDir?: string },
  settings: CommandEnvironment['settings'],
): PoolAddress {
  return {
    given: flags.coordinator,
    folder: flags.dataDir,
    usual: settings.coordinatorUrl,
    usualFolder: flags.dataDir ?? settings.dataDir,
  };
}

/** Parser of a number option for commander: refuses everything but a number from `least` to `most`. */
export function numberOption(least: number, most: number, kind: 'whole' | 'any' = 'whole') {
  return (text: string): number => {
    const value = Number(text);
    const ok =
      text.trim() !== '' &&
      Number.isFinite(value) &&
      value >= least &&
      value <= most &&
      (kind === 'any' || Number.isInteger(value));
    if (!ok) {
      const what = kind === 'whole' ? 'a whole number' : 'a number';
      throw new InvalidArgumentError(`expected ${what} from ${least} to ${most}.`);
    }
    return value;
  };
}

/** Parser of an option such as `60-300`: two heights, both included. */
export function rangeOption(text: string): { first: number; last: number } {
  const [, first, last] = /^([0-9]{1,15})-([0-9]{1,15})$/.exec(text) ?? [];
  const range = { first: Number(first), last: Number(last) };
  if (!(range.first <= range.last)) throw new InvalidArgumentError('expected two heights such as 60-300.');
  return range;
}

/** Parser of a hash option: 64 hex digits, to lower case. */
export function hashOption(text: string): string {
  if (!/^[0-9a-fA-F]{64}$/.test(text)) throw new InvalidArgumentError('expected 64 hex digits.');
  return text.toLowerCase();
}

/** Parser of an option such as `2GiB`. */
export function byteSizeOption(text: string): number {
  const bytes = parseByteSize(text);
  if (!bytes) throw new InvalidArgumentError('expected a size such as 500MB or 2GiB.');
  return bytes;
}

/** Parser of a list option such as `evaluate,mine`. */
export function listOption<T extends string>(allowed: readonly T[]) {
  return (text: string): T[] => {
    const parts = [...new Set(text.split(',').map((part) => part.trim()))];
    const unknown = parts.find((part) => !(allowed as readonly string[]).includes(part));
    if (unknown !== undefined) throw new InvalidArgumentError(`expected some of ${allowed.join(',')}.`);
    return parts as T[];
  };
}

/** Parser of an option that may be given several times: the first one replaces the default, the others are added. */
export function repeatable() {
  let given: readonly string[] = [];
  return (text: string): readonly string[] => {
    given = [...given, text];
    return given;
  };
}

/** Examples under a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}\n`;
}
