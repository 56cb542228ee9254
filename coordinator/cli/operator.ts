import type { Command } from 'commander';
import type { CliEnvironment } from '#coordinator/cli/environment.ts';

/** Options of every command with which an operator asks his pool. */
export interface OperatorFlags {
  readonly dataDir: string;
  readonly json?: true;
}

export function addOperatorOptions(command: Command, { settings }: CliEnvironment): Command {
  return command
    .option('--data-dir <dir>', 'folder of the pool', settings.dataDir)
    .option('--json', 'print JSON');
}

/** Asks the pool of the folder, running or not; the answer has the form that the operation gives it. */
export async function ask<T>(dataDir: string, operation: string, input: unknown): Promise<T> {
  // Late: help and wrong usage must not wait for it.
  const { askOperator } = await import('#coordinator/operator/ask.ts');
  return (await askOperator(dataDir, { operation, input })) as T;
}
