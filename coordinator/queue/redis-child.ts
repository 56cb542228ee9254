import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { PoolError } from '#shared/errors/pool-error.ts';
import { type RedisLogger, withRedis } from './redis-connection.ts';

export interface RedisChildOptions {
  readonly program: string;
  /** Folder of the append-only file. */
  readonly dir: string;
  readonly socketPath: string;
  readonly logger: RedisLogger;
}

const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 20;
/** Time to write the append-only file before the child is killed; nothing but a stuck disk needs it. */
const STOP_TIMEOUT_MS = 10_000;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 5_000;
/** A child that lived this long ends the row of failures that the back-off counts. */
const STABLE_MS = 30_000;
const KEPT_LOG_LINES = 8;

const NO_PROGRAM =
  'there is no redis-server here. Three ways on: install the package (Debian and Ubuntu: ' +
  '`apt-get install redis-server`, macOS: `brew install redis`); or set REDIS_URL to a Redis that runs ' +
  'already; or start the whole pool with `docker compose up`';

/** A redis-server of our own, started again whenever it dies. Clients see a reconnect. */
export class RedisChild {
  readonly #options: RedisChildOptions;
  #child: ChildProcess | undefined;
  #lastLines: string[] = [];
  #failures = 0;
  /** Why the first start cannot succeed, once that is known. */
  #startFailure: PoolError | undefined;
  #state: 'starting' | 'running' | 'stopping' = 'starting';
  #restart: NodeJS.Timeout | undefined;

  constructor(options: RedisChildOptions) {
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when Redis answers. REDIS if there is none, or if it ends or stays silent. */
  async start(): Promise<void> {
    this.#spawn();
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (!(await this.#answers())) {
      if (Date.now() > deadline) {
        this.#startFailure ??= new PoolError('REDIS', `redis-server was not ready in ${READY_TIMEOUT_MS} ms`);
      }
      if (this.#startFailure !== undefined) {
        await this.stop();
        throw this.#startFailure;
      }
      await sleep(READY_POLL_MS);
    }
    this.#state = 'running';
    if (this.#startFailure !== undefined) throw this.#startFailure;
  }

  /** Ends the child in order, so that its file is whole. Idempotent. */
  async stop(): Promise<void> {
    this.#state = 'stopping';
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const killer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(killer);
  }

  #spawn(): void {
    // In a process group of its own: Ctrl-C must reach the coordinator only, which ends Redis last.
    const child = spawn(this.#options.program, argumentsFor(this.#options), {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#lastLines = [];
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.#lastLines = [...this.#lastLines, line].slice(-KEPT_LOG_LINES);
      });
    }
    const startedAt = performance.now();
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (child.pid === undefined) this.#onEnd(error.code ?? error.message, 0);
    });
    child.once('exit', (code, signal) => this.#onEnd(code ?? signal ?? '', performance.now() - startedAt));
  }

  #onEnd(how: number | string, livedMs: number): void {
    if (this.#state === 'stopping') return;
    if (this.#state === 'starting') {
      this.#startFailure = new PoolError('REDIS', how === 'ENOENT' ? NO_PROGRAM : this.#endedAtStart(how));
      return;
    }
    if (livedMs > STABLE_MS) this.#failures = 0;
    const waitMs = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.#failures++);
    const log = this.#lastLines.join('\n');
    this.#options.logger.warn('redis-server ended unexpectedly and is started again', { how, waitMs, log });
    this.#restart = setTimeout(() => this.#spawn(), waitMs);
  }

  #answers(): Promise<boolean> {
    // While it reads its file it answers LOADING, an error: not ready yet.
    return withRedis({ path: this.#options.socketPath }, (redis) => redis.ping()).then(
      () => true,
      () => false,
    );
  }

  #endedAtStart(how: number | string): string {
    return (
      `redis-server ended at its start (${how}). If its file is damaged, move the folder ` +
      `${this.#options.dir} away: what is pending is queued again from the store. Its last lines:\n` +
      this.#lastLines.join('\n')
    );
  }
}

function argumentsFor({ dir, socketPath }: RedisChildOptions): string[] {
  const settings = {
    port: '0',
    unixsocket: socketPath,
    unixsocketperm: '700',
    dir,
    pidfile: `${dir}/redis.pid`,
    daemonize: 'no',
    appendonly: 'yes',
    appendfsync: 'everysec',
    save: '',
    'maxmemory-policy': 'noeviction',
  };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}
