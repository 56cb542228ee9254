import { type ChildProcess, fork } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { childEnvironment } from '#worker/env.ts';
import type { Log } from '#worker/log.ts';
import type { FromChild, ToChild } from '#worker/process/messages.ts';

/** A child that does not answer a cancellation in this time is ended. */
const CANCEL_MS = 3_000;
const MEMORY_CHECK_MS = 1_000;
const PAGE_BYTES = 4096;

export interface HostOptions {
  /** The child's TypeScript file. */
  readonly entry: URL;
  /** What the child is told at start, as JSON. No secrets: it stands in the list of processes. */
  readonly setting: unknown;
  /** Variables of the child, over those of this process. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Resident memory above which the child is ended. Known on Linux only; elsewhere V8's limit alone holds. */
  readonly memoryLimitBytes: number;
  /** Code of a request whose child died. */
  readonly crashCode: ErrorCode;
  /** A fresh child after so many requests: native backends keep some memory of each. */
  readonly requestsPerChild: number;
}

export interface Request {
  readonly request: unknown;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  readonly onEvent?: (event: unknown) => void;
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onEvent: (event: unknown) => void;
}

/**
 * A child process that answers requests, started with the first of them and again after its end. Whatever
 * happens in it (endless loop, memory, a crash of native code), the parent goes on: the requests that it held
 * reject with `crashCode`.
 */
export class ProcessHost {
  readonly #options: HostOptions;
  readonly #log: Log;
  #child: HostedChild | undefined;

  constructor(options: HostOptions, log: Log) {
    this.#options = options;
    this.#log = log;
  }

  /** Bytes resident in the child; 0 where there is none, or where it cannot be known. */
  get rssBytes(): number {
    return this.#child?.rssBytes ?? 0;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Rejects with the child's own error, `crashCode`, or the signal's reason. */
  async request(request: Request): Promise<unknown> {
    request.signal.throwIfAborted();
    const child = this.#ready();
    return child.request(request);
  }

  /** Ends the child. A later request starts another. */
  async close(): Promise<void> {
    await this.#child?.end('closed');
  }

  #ready(): HostedChild {
    const current = this.#child;
    const worn = current && current.served >= this.#options.requestsPerChild && current.idle;
    if (worn) void current.end('renewed after many requests');
    if (current?.usable && !worn) return current;
    this.#child = new HostedChild(this.#options, this.#log);
    return this.#child;
  }
}

class HostedChild {
  served = 0;
  usable = true;
  rssBytes = 0;
  readonly #options: HostOptions;
  readonly #log: Log;
  readonly #process: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  readonly #exited: Promise<void>;
  readonly #watch: NodeJS.Timeout;
  /** Why we ended it, if we did. */
  #reason: string | undefined;

  constructor(options: HostOptions, log: Log) {
    this.#options = options;
    this.#log = log;
    this.#process = fork(options.entry, [JSON.stringify(options.setting)], {
      // By its address: a bare name would be looked up from the folder that the command was called in.
      execArgv: ['--import', import.meta.resolve('tsx'), `--max-old-space-size=${heapMiB(options)}`],
      env: childEnvironment(options.env),
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#process.stderr?.on('data', (text: Buffer) => log.debug(text.toString().slice(-1000)));
    this.#process.on('message', (message) => this.#receive(message as FromChild));
    this.#process.on('error', (error) => this.#gone(`could not be started: ${error.message}`));
    this.#exited = new Promise((resolve) => {
      this.#process.once('exit', (code, signal) => {
        this.#gone(signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`);
        resolve();
      });
    });
    this.#watch = setInterval(() => void this.#checkMemory(), MEMORY_CHECK_MS).unref();
  }

  get idle(): boolean {
    return this.#pending.size === 0;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  request({ request, deadlineMs, signal, onEvent = () => {} }: Request): Promise<unknown> {
    const id = ++this.served;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, onEvent });
    });
    const deadline = setTimeout(() => this.#kill(`took longer than ${deadlineMs} ms`), deadlineMs);
    let patience: NodeJS.Timeout | undefined;
    const cancel = () => {
      this.#post({ kind: 'cancel', id });
      patience = setTimeout(() => this.#kill('did not answer a cancellation'), CANCEL_MS);
    };
    signal.addEventListener('abort', cancel, { once: true });
    this.#post({ kind: 'request', id, request });
    return answer
      .catch((error: unknown) => {
        throw signal.aborted ? signal.reason : error;
      })
      .finally(() => {
        clearTimeout(deadline);
        clearTimeout(patience);
        signal.removeEventListener('abort', cancel);
      });
  }

  end(reason: string): Promise<void> {
    this.#kill(reason);
    return this.#exited;
  }

  #post(message: ToChild): void {
    if (this.#process.connected) this.#process.send(message, () => {});
  }

  #receive(message: FromChild): void {
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    if (message.kind === 'event') {
      pending.onEvent(message.event);
      return;
    }
    this.#pending.delete(message.id);
    if (message.kind === 'result') pending.resolve(message.result);
    else pending.reject(PoolError.fromObject(message.error));
  }

  #kill(reason: string): void {
    this.#reason ??= reason;
    this.usable = false;
    this.#process.kill('SIGKILL');
  }

  #gone(how: string): void {
    this.usable = false;
    clearInterval(this.#watch);
    const reason = this.#reason ?? how;
    if (this.#pending.size > 0) this.#log.warn('a computing process ended', { reason });
    for (const { reject } of this.#pending.values()) {
      reject(new PoolError(this.#options.crashCode, `the computing process ${how}: ${reason}`, { reason }));
    }
    this.#pending.clear();
  }

  async #checkMemory(): Promise<void> {
    const bytes = await residentBytes(this.#process.pid);
    this.rssBytes = bytes;
    const limit = this.#options.memoryLimitBytes;
    if (bytes > limit) this.#kill(`used ${bytes} bytes of memory, more than ${limit}`);
  }
}

/** V8 may hold a quarter: weights live outside its heap. */
function heapMiB({ memoryLimitBytes }: HostOptions): number {
  return Math.max(256, Math.round(memoryLimitBytes / 4 / 2 ** 20));
}

/** Second field of Linux's statm: resident pages. */
async function residentBytes(pid: number | undefined): Promise<number> {
  const text = await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '');
  const pages = Number(text.split(' ')[1] ?? 0);
  return Number.isFinite(pages) ? pages * PAGE_BYTES : 0;
}
