import { readdir, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import type { Choice, Figure, Report } from '#test/bench/report.ts';
import { renderTable } from '#test/bench/table.ts';

const KINDS = ['bench', 'drill'] as const;
type Kind = (typeof KINDS)[number];

const EXIT_MISSED = 1;
const EXIT_USAGE = 2;

interface Command {
  readonly kind: Kind;
  readonly names: readonly string[];
  readonly json: boolean;
  readonly folder: string;
  /** What a benchmark of several sections may be told; one that has none leaves it. */
  readonly choice: Choice;
}

class UsageError extends Error {}

/** Runs what was asked for. Returns the exit code: 0, or 1 where a goal was missed or a run failed. */
async function main(args: readonly string[]): Promise<number> {
  const command = parse(args);
  const existing = await discover(command);
  if (command.names.length === 0) {
    list(command, existing);
    return 0;
  }
  const names = command.names.includes('all') ? [...existing.keys()] : command.names;
  const unknown = names.find((name) => !existing.has(name));
  if (unknown !== undefined) {
    throw new UsageError(
      `no ${command.kind} "${unknown}"; there is: ${[...existing.keys(), 'all'].join(', ')}`,
    );
  }
  let ok = true;
  for (const name of names) ok = (await runOne(command, name)) && ok;
  return ok ? 0 : EXIT_MISSED;
}

function parse(args: readonly string[]): Command {
  const options = {
    json: { type: 'boolean', default: false },
    folder: { type: 'string' },
    only: { type: 'string' },
    backend: { type: 'string', default: process.env.AIBLOCK_BACKEND || 'wasm' },
  } as const;
  const { values, positionals } = parseOrRefuse(() =>
    parseArgs({ args: [...args], options, allowPositionals: true }),
  );
  const [kind, ...names] = positionals;
  const known = KINDS.find((each) => each === kind);
  if (known === undefined) throw new UsageError(`expected ${KINDS.join(' or ')}, got ${kind ?? 'nothing'}`);
  const folder = values.folder ?? fileURLToPath(new URL(`../${known}`, import.meta.url));
  const choice = { only: values.only?.split(',') ?? [], backend: values.backend };
  return { kind: known, names, json: values.json, folder: resolve(folder), choice };
}

function parseOrRefuse<T>(parseIt: () => T): T {
  try {
    return parseIt();
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Name → first line of its description, for every file that exports the function named after the kind. */
async function discover({ kind, folder }: Command): Promise<Map<string, string>> {
  const files = await readdir(folder).catch(() => []);
  const found = new Map<string, string>();
  for (const file of files.filter((name) => name.endsWith('.ts')).sort()) {
    // Read, not imported: listing must not start a compute backend.
    const text = await readFile(resolve(folder, file), 'utf8');
    const exported = new RegExp(
      `(?:/\\*\\*([^/]*)\\*/\\s*)?^export (?:async )?function ${kind}\\(`,
      'm',
    ).exec(text);
    if (exported !== null) found.set(file.slice(0, -'.ts'.length), firstSentence(exported[1] ?? ''));
  }
  return found;
}

function firstSentence(comment: string): string {
  const text = comment.replace(/\s*\n\s*\*\s*/g, ' ').replace(/^[\s*]+|\s+$/g, '');
  return /^.*?[.:](?=\s|$)/.exec(text)?.[0].replace(/[.:]$/, '') ?? text;
}

function list({ kind, json }: Command, existing: ReadonlyMap<string, string>): void {
  const width = Math.max(0, ...[...existing.keys()].map((name) => name.length));
  for (const [name, about] of existing) {
    print(json ? JSON.stringify({ name, about }) : `${name.padEnd(width)}  ${about}`.trimEnd());
  }
  if (!json)
    print(`\nnpm run ${kind} -- NAME [--json] [--only SECTION,…] [--backend NAME]   (NAME may be "all")`);
}

/** True when it ran to its end, reported something, and missed no goal. */
async function runOne({ kind, json, folder, choice }: Command, name: string): Promise<boolean> {
  const figures: Figure[] = [];
  const report: Report = (figure) => {
    figures.push(figure);
    if (json) print(JSON.stringify(figure));
  };
  let failure: unknown = null;
  try {
    const module = await import(pathToFileURL(resolve(folder, `${name}.ts`)).href);
    await module[kind](report, choice);
    if (figures.length === 0) throw new Error('it reported no figure');
  } catch (error) {
    failure = error ?? new Error('it threw nothing');
  }
  if (!json && figures.length > 0)
    print(`${kind} ${name}\n\n${renderTable(figures, { colour: useColour() })}`);
  if (failure !== null)
    complain(`${kind} ${name} failed: ${failure instanceof Error ? failure.stack : failure}`);
  return failure === null && figures.every(({ ok }) => ok);
}

function useColour(): boolean {
  return process.stdout.isTTY === true && !process.env.NO_COLOR;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function complain(text: string): void {
  process.stderr.write(`${text}\n`);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  complain(
    `${error.message}\nusage: npm run bench|drill -- [NAME|all] [--json] [--only SECTION,…] [--backend NAME]`,
  );
  process.exitCode = EXIT_USAGE;
}
