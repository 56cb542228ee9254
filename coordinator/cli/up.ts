import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { WebSocket } from 'ws';
import { Child, type ChildOptions } from '#coordinator/cli/child.ts';
import { type CliEnvironment, untilStopped } from '#coordinator/cli/environment.ts';
import { portOption } from '#coordinator/cli/port-option.ts';
import { Screen } from '#coordinator/cli/screen.ts';
import { workerToken } from '#coordinator/store/key-files.ts';
import { acquirePidLock } from '#coordinator/store/pid-lock.ts';
import { type FeedEvent, feedEventSchema, type Overview } from '#shared/api/schemas.ts';
import { PoolError } from '#shared/errors/pool-error.ts';

interface Flags {
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  readonly backend: string;
  readonly miner: boolean;
  /** As many as judge a submission, where it is left out. */
  readonly workers?: number;
  readonly json?: true;
}

/** Eight submissions and more in the first quarter of an hour. */
const DEMO_PATIENCE_SECONDS = '60';
const RESTART_MS = 2_000;
const FEED_RETRY_MS = 500;

export function register(program: Command, environment: CliEnvironment): void {
  const { settings } = environment;
  program
    .command('up')
    .description(
      'Run a whole pool on this machine: Redis, coordinator, as many workers as its quorum asks for, one demo miner.',
    )
    .option('--data-dir <dir>', 'folder of the pool', settings.dataDir)
    .option('--host <host>', 'address to listen on', settings.host)
    .option('--port <port>', 'port to listen on; 0 takes a free one', portOption, settings.port)
    .option('--backend <name>', 'auto, tensorflow, webgpu or wasm', settings.backend)
    .option('--workers <n>', 'workers (default: as many as must agree on a submission)', workerCount)
    .option('--no-miner', 'without the demo miner')
    .option('--json', 'print one JSON object per event')
    .addHelpText('after', '\nExamples:\n  $ aiblock up\n  $ aiblock up --data-dir /tmp/pool --port 8090\n')
    .action((flags: Flags) => run(flags, environment));
}

function workerCount(text: string): number {
  const value = Number(text);
  if (!/^[0-9]{1,2}$/.test(text)) throw new InvalidArgumentError('expected a whole number from 0 to 99.');
  return value;
}

async function run(flags: Flags, environment: CliEnvironment): Promise<void> {
  await mkdir(flags.dataDir, { recursive: true, mode: 0o700 });
  const lock = await acquirePidLock(flags.dataDir, 'up.lock');
  const pool = new LocalPool(flags, environment);
  try {
    await pool.start();
    await Promise.race([untilStopped(environment.signal), pool.failed]);
  } finally {
    await pool.stop();
    await lock.release();
  }
}

/** The processes of a pool on one machine, started in order and stopped in reverse. */
class LocalPool {
  readonly #flags: Flags;
  readonly #environment: CliEnvironment;
  readonly #screen: Screen;
  readonly #children: Child[] = [];
  #stopping = false;
  #feed: WebSocket | undefined;
  #fail: (error: PoolError) => void = () => undefined;
  /** Rejects when the coordinator ends by itself. */
  readonly failed: Promise<never>;

  constructor(flags: Flags, environment: CliEnvironment) {
    this.#flags = flags;
    this.#environment = environment;
    this.#screen = new Screen(environment, flags.json === true);
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined);
  }

  async start(): Promise<void> {
    const { dataDir, miner, backend } = this.#flags;
    const { signal } = this.#environment;
    const url = await this.#startCoordinator();
    if (signal.aborted) return;
    const { quorum } = await this.#follow(url);
    for (let i = 1; i <= (this.#flags.workers ?? quorum); i++) await this.#startWorker(url, i);
    if (miner)
      void this.#keep('miner', {
        args: [
          ...['miner', '--coordinator', url, '--data-dir', dataDir, '--backend', backend, '--json'],
          // Whoever watches wants to see the pool at work.
          ...['--patience', DEMO_PATIENCE_SECONDS],
        ],
        onLine: (line) => this.#screen.miner(line),
      });
  }

  /** The first takes every role; those beside it judge alone, each with a key of its own. */
  async #startWorker(url: string, number: number): Promise<void> {
    const { dataDir, backend } = this.#flags;
    const isFirst = number === 1;
    const name = isFirst ? 'worker' : `worker-${number}`;
    // The gateway is the one that remote workers use; the token lies in the data folder.
    const env = {
      AIBLOCK_WORKER_TOKEN: this.#environment.settings.workerToken ?? (await workerToken(dataDir)),
    };
    const folder = isFirst ? dataDir : join(dataDir, name);
    const args = [
      'worker',
      ...['--coordinator', url, '--data-dir', folder, '--backend', backend],
      ...['--name', isFirst ? 'local' : `local-${number}`],
      // The pool stops with it: nobody waits for what it holds, and the next start goes on with it.
      ...['--drain-seconds', '0'],
      ...(isFirst ? [] : ['--roles', 'evaluate']),
    ];
    void this.#keep(name, { args, env });
  }

  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#screen.note('stopping');
    this.#feed?.terminate();
    const [coordinator, ...others] = this.#children;
    await Promise.all(others.map((child) => child.stop()));
    await coordinator?.stop();
    this.#screen.note('stopped; the next start goes on from here');
    this.#screen.end();
  }

  async #startCoordinator(): Promise<string> {
    const { dataDir, host, port } = this.#flags;
    let ready: (url: string) => void = () => undefined;
    const url = new Promise<string>((resolve) => {
      ready = resolve;
    });
    let lastError = '';
    const child = await this.#spawn('coordinator', {
      args: ['coordinator', '--init-dev', '--data-dir', dataDir, '--host', host, '--port', String(port)],
      onLine: (line) => ready((JSON.parse(line) as { url: string }).url),
      onErrorLine: (line) => {
        if (line.startsWith('error ')) lastError = line.slice('error '.length);
        this.#screen.log(line);
      },
    });
    const ended = child.ended.then((how) => {
      const [, code = 'UNAVAILABLE', text = `the coordinator ended (${how})`] =
        /^([A-Z_]+): (.*)$/.exec(lastError) ?? [];
      const error = PoolError.fromObject({ code, message: text, details: {} });
      if (!this.#stopping) this.#fail(error);
      throw error;
    });
    ended.catch(() => undefined);
    const stopped = untilStopped(this.#environment.signal).then(() => '');
    return Promise.race([url, ended, stopped]);
  }

  /** Starts a child again whenever it ends by itself. */
  async #keep(
    name: string,
    program: Pick<ChildOptions, 'args' | 'onLine'> & Partial<ChildOptions>,
  ): Promise<void> {
    while (!this.#stopping) {
      const child = await this.#spawn(name, {
        ...program,
        onErrorLine: (line) => this.#screen.childLog(name, line),
      });
      const how = await child.ended;
      this.#children.splice(this.#children.indexOf(child), 1);
      if (this.#stopping) return;
      this.#screen.note(`the ${name} ended (${how}) and is started again; its log: ${this.#logFile(name)}`);
      await new Promise((resolve) => setTimeout(resolve, RESTART_MS));
    }
  }

  async #spawn(
    name: string,
    options: Omit<ChildOptions, 'env' | 'logFile'> & Partial<ChildOptions>,
  ): Promise<Child> {
    const child = await Child.start(this.#environment, { env: {}, ...options, logFile: this.#logFile(name) });
    this.#children.push(child);
    return child;
  }

  #logFile(name: string): string {
    return join(this.#flags.dataDir, 'logs', `${name}.log`);
  }

  async #follow(url: string): Promise<Overview> {
    const overview = (await (await fetch(new URL('/overview', url))).json()) as Overview;
    this.#screen.welcome({ url, dataDir: this.#flags.dataDir, overview });
    this.#listen(url);
    return overview;
  }

  #listen(url: string): void {
    const feed = new WebSocket(url.replace(/^http/, 'ws').concat('/ws/feed'), { perMessageDeflate: false });
    this.#feed = feed;
    feed.on('message', (data) => {
      const parsed = feedEventSchema.safeParse(JSON.parse(String(data)));
      if (parsed.success) this.#screen.event(parsed.data as FeedEvent);
    });
    feed.on('error', () => undefined);
    feed.on('close', () => {
      if (!this.#stopping) setTimeout(() => this.#listen(url), FEED_RETRY_MS);
    });
  }
}
