import { type ChildProcess, spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import process, { execPath } from 'node:process';
import { createInterface } from 'node:readline';
import { repositoryPath } from '#test/helpers/repository.ts';
import { DEADLINE_MS } from '#test/helpers/until.ts';

const LAUNCHER = repositoryPath('coordinator/cli/aiblock.mjs');
const STOP_MS = 30_000;
const SHOWN_LINES = 60;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const started: ChildHandle[] = [];

// Where a test failed, the reason often stands in the output of a process.
process.on('exit', () => {
  for (const child of started) {
    if (process.exitCode) writeSync(2, child.describe());
    child.kill('SIGKILL');
  }
});

/** One command of the product as a process, with everything it printed. It ends with the test process at the latest. */
export class ChildHandle {
  readonly name: string;
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  readonly ended: Promise<Ended>;
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  #how: Ended | undefined;
  #waiting: (() => void)[] = [];

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#process = child;
    const streams = (['stdout', 'stderr'] as const).map((which) => {
      const lines = createInterface({ input: child[which] as NodeJS.ReadableStream });
      lines.on('line', (line) => {
        this[which].push(line);
        this.#lines.push(line);
        this.#wake();
      });
      return new Promise((resolve) => lines.once('close', resolve));
    });
    const exit = new Promise<Ended>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
      child.once('error', () => resolve({ code: null, signal: null }));
    });
    this.ended = exit.then(async (how) => {
      // Grandchildren may hold the pipes longer than we want to wait.
      await Promise.race([Promise.all(streams), new Promise((resolve) => setTimeout(resolve, 500).unref())]);
      this.#how = how;
      this.#wake();
      return how;
    });
  }

  /** `aiblock ARGS`, in the environment of the test without its AIBLOCK_* variables, and `env` over it. */
  static aiblock(name: string, args: readonly string[], env: Record<string, string> = {}): ChildHandle {
    return ChildHandle.#spawn(name, [LAUNCHER, ...args], env);
  }

  /** A script of the tests, in TypeScript. */
  static script(name: string, path: string, args: readonly string[]): ChildHandle {
    return ChildHandle.#spawn(name, ['--import', 'tsx', path, ...args], {});
  }

  static #spawn(name: string, args: readonly string[], env: Record<string, string>): ChildHandle {
    const inherited = Object.entries(process.env).filter(([key]) => !/^(AIBLOCK_|REDIS_URL$)/.test(key));
    const child = spawn(execPath, args, {
      // The channel ends the process when the test is gone, however it went.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...Object.fromEntries(inherited), NODE_TEST_CONTEXT: undefined, ...env },
    });
    const handle = new ChildHandle(name, child);
    started.push(handle);
    return handle;
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  get running(): boolean {
    return this.#how === undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Everything on standard output. */
  get text(): string {
    return this.stdout.map((line) => `${line}\n`).join('');
  }

  get errorText(): string {
    return this.stderr.map((line) => `${line}\n`).join('');
  }

  /** Lines printed so far. */
  get lineCount(): number {
    return this.#lines.length;
  }

  /** The first line from number `from` on, printed already or yet to come, in which `find` finds something. */
  async line<T>(
    find: (line: string) => T | undefined | false | null,
    { from = 0, deadlineMs = DEADLINE_MS }: { from?: number; deadlineMs?: number } = {},
  ): Promise<T> {
    let seen = from;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, deadlineMs);
    try {
      for (;;) {
        for (; seen < this.#lines.length; seen++) {
          const found = find(this.#lines[seen] as string);
          if (found) return found;
        }
        if (late || this.#how)
          throw new Error(
            `${this.name} ${late ? 'did not print in time' : 'ended without'} what was awaited\n${this.describe()}`,
          );
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  kill(signal: NodeJS.Signals): void {
    if (this.running) this.#process.kill(signal);
  }

  /** SIGTERM, and SIGKILL where that does not help. */
  async stop(): Promise<Ended> {
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), STOP_MS);
    const how = await this.ended;
    clearTimeout(timer);
    return how;
  }

  describe(): string {
    const how = this.#how ? `ended with ${this.#how.code ?? this.#how.signal}` : 'running';
    return `--- ${this.name} (pid ${this.pid}, ${how}), its last lines:\n${this.#lines.slice(-SHOWN_LINES).join('\n')}\n`;
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** Runs a command to its end. */
export async function aiblock(args: readonly string[], env: Record<string, string> = {}) {
  const child = ChildHandle.aiblock(`aiblock ${args[0] ?? ''}`, args, env);
  const { code } = await child.ended;
  return { code, stdout: child.text, stderr: child.errorText };
}

/** Whether a process of this id is there. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
