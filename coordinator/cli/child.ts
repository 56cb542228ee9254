import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { CliEnvironment } from '#coordinator/cli/environment.ts';

const LAUNCHER = fileURLToPath(new URL('./aiblock.mjs', import.meta.url));
/** A log that grew beyond this is set aside at the next start. */
const MAX_LOG_BYTES = 20 * 1024 * 1024;
const STOP_MS = 10_000;

export interface ChildOptions {
  readonly args: readonly string[];
  readonly logFile: string;
  readonly env: Readonly<Record<string, string>>;
  readonly onLine?: (line: string) => void;
  /** Lines of standard error; they go to the log file too. */
  readonly onErrorLine?: (line: string) => void;
}

/** One of our commands as a child process, with its output in a log file. It ends when we end, however we end. */
export class Child {
  readonly #process: ChildProcess;
  /** Resolves with the exit code, or the signal's name. */
  readonly ended: Promise<number | string>;

  private constructor(environment: CliEnvironment, options: ChildOptions) {
    // A session of its own, so that Ctrl-C reaches only us and the children are stopped in order; the channel tells
    // it when we are gone.
    this.#process = spawn(environment.execPath, [LAUNCHER, ...options.args], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: environment.childEnvironment(options.env),
    });
    const log = createWriteStream(options.logFile, { flags: 'a' });
    const follow = (stream: NodeJS.ReadableStream | null, onLine?: (line: string) => void) => {
      if (stream)
        createInterface({ input: stream }).on('line', (line) => {
          log.write(`${line}\n`);
          onLine?.(line);
        });
    };
    follow(this.#process.stdout, options.onLine);
    follow(this.#process.stderr, options.onErrorLine);
    this.ended = new Promise((resolve) => {
      this.#process.once('error', (error) => resolve(error.message));
      this.#process.once('exit', (code, signal) => resolve(code ?? signal ?? 'gone'));
    });
  }

  static async start(environment: CliEnvironment, options: ChildOptions): Promise<Child> {
    await mkdir(dirname(options.logFile), { recursive: true });
    const size = await stat(options.logFile).then(
      (info) => info.size,
      () => 0,
    );
    if (size > MAX_LOG_BYTES) await rename(options.logFile, `${options.logFile}.1`);
    return new Child(environment, options);
  }

  /** Asks it to stop, and ends it if it does not. */
  async stop(): Promise<void> {
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS);
    await this.ended;
    clearTimeout(timer);
  }
}
