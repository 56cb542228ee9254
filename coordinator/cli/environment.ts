import type { HubAccess } from '#coordinator/import/hub/access.ts';
import type { Environment } from '#shared/env.ts';

/** What a command is given besides its options: nothing of it is global. */
export interface CliEnvironment {
  readonly settings: Environment;
  /** Reads what the hub of models needs; OPTION where it is not valid. */
  readonly hub: () => HubAccess;
  /** Aborted by the first Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  readonly terminal: boolean;
  readonly color: boolean;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly now: () => number;
  /** The environment of a child process, with `changes` over it. */
  readonly childEnvironment: (changes: Readonly<Record<string, string>>) => NodeJS.ProcessEnv;
  /** The Node that runs us. */
  readonly execPath: string;
}

/** Resolves when the command is to stop. */
export function untilStopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
