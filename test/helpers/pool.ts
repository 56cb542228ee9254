import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { Chain } from '#coordinator/chain/chain.ts';
import { initChain } from '#coordinator/chain/init.ts';
import { PayloadStore } from '#coordinator/store/payload-store.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { type Overview, overviewSchema, type SubmissionView } from '#shared/api/schemas.ts';
import { ChildHandle } from '#test/helpers/child.ts';
import { FeedLog } from '#test/helpers/feed-log.ts';
import { until } from '#test/helpers/until.ts';
import { ApiClient } from '#worker/client/api-client.ts';

export interface PoolOptions {
  /** A new empty folder unless given. */
  readonly dataDir?: string;
  /** A gate that passes gains of 2,000 micro-nats (default: the development network's own δ). */
  readonly smallGains?: boolean;
  /** Seals of an epoch, and the shards it reveals (default: those of the development network). */
  readonly epoch?: { readonly seals: number; readonly shards: number };
  /** One worker with every role, attached when startPool resolves (default true). */
  readonly worker?: boolean;
  /** The demo miner (default false). */
  readonly miner?: boolean;
  /** More environment for every process. */
  readonly env?: Readonly<Record<string, string>>;
}

const pools: Pool[] = [];
const folders: string[] = [];

// Here and not in startPool: a hook made inside of `before` would run as soon as `before` is over.
after(async () => {
  await Promise.all(pools.map((pool) => pool.stop()));
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true, maxRetries: 3 })));
});

/** Starts real processes on a free port, on the development network; they end after the tests of the calling file. */
export async function startPool(options: PoolOptions = {}): Promise<Pool> {
  const pool = new Pool(options.dataDir ?? (await newFolder()), { ...options.env });
  pools.push(pool);
  await makeChain(pool.dataDir, options);
  await pool.startCoordinator();
  if (options.worker !== false) await pool.startWorker('worker');
  if (options.miner === true) pool.startMiner();
  return pool;
}

/** The development network, but that one worker is enough; a folder that holds a chain keeps it. */
async function makeChain(dataDir: string, { smallGains, epoch }: PoolOptions): Promise<void> {
  const kv = await openRocksKv(join(dataDir, 'store'));
  try {
    if (await Chain.exists(kv)) return;
    const gate = smallGains ? { delta_micro_nats: 2_000 } : undefined;
    const options = { dataDir, name: 'test', dev: true, nowMs: 0, gate, attestations: 1, epoch };
    await initChain({ kv, payloads: new PayloadStore(kv) }, options);
  } finally {
    await kv.close();
  }
}

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'aiblock-pool-'));
  folders.push(folder);
  return folder;
}

/** A whole pool of processes of our own. */
export class Pool {
  readonly dataDir: string;
  readonly #env: Record<string, string>;
  readonly #processes = new Map<string, { child: ChildHandle; args: readonly string[] }>();
  #url = '';
  #api: ApiClient | undefined;
  readonly #feeds: FeedLog[] = [];

  constructor(dataDir: string, env: Record<string, string>) {
    this.dataDir = dataDir;
    this.#env = env;
  }

  /** The same for the life of the pool, also over restarts. */
  get url(): string {
    return this.#url;
  }

  get api(): ApiClient {
    this.#api ??= new ApiClient(this.#url);
    return this.#api;
  }

  get coordinator(): ChildHandle {
    return this.child('coordinator');
  }

  get worker(): ChildHandle {
    return this.child('worker');
  }

  child(name: string): ChildHandle {
    const found = this.#processes.get(name);
    if (!found) throw new Error(`this pool has no process ${name}`);
    return found.child;
  }

  /** Resolves when it serves. */
  async startCoordinator(): Promise<void> {
    const port = this.#url === '' ? '0' : new URL(this.#url).port;
    const child = this.#spawn('coordinator', [
      'coordinator',
      '--init-dev',
      ...['--data-dir', this.dataDir, '--port', port],
    ]);
    const line = await child.line((text) => text.startsWith('{"url":') && text);
    this.#url = (JSON.parse(line) as { url: string }).url;
  }

  /** A worker with a key and cache of its own; resolves when the coordinator shows it as connected. */
  async startWorker(name: string, more: readonly string[] = []): Promise<ChildHandle> {
    const child = this.#spawn(name, [
      'worker',
      ...['--coordinator', this.#url, '--data-dir', this.#folderOf(name), '--backend', 'wasm'],
      ...['--threads', '1', '--name', name, '--token', await this.#token(), ...more],
    ]);
    await this.connected(name);
    return child;
  }

  startMiner(): ChildHandle {
    return this.#spawn('miner', [
      'miner',
      ...['--coordinator', this.#url, '--data-dir', this.dataDir, '--backend', 'wasm', '--json'],
    ]);
  }

  /** Ends a process without warning and waits until it is gone. */
  async kill9(name: string): Promise<void> {
    const child = this.child(name);
    child.kill('SIGKILL');
    await child.ended;
  }

  /** Starts a process that has ended, or stops it first, with the same arguments. */
  async restart(name: string): Promise<ChildHandle> {
    await this.child(name).stop();
    if (name === 'coordinator') await this.startCoordinator();
    else {
      this.#spawn(name, this.#processes.get(name)?.args ?? []);
      if (name !== 'miner') await this.connected(name);
    }
    return this.child(name);
  }

  /** Follows `/ws/feed` from now on, over restarts of the coordinator. */
  async feed(): Promise<FeedLog> {
    const feed = new FeedLog(this.#url);
    this.#feeds.push(feed);
    await feed.opened;
    return feed;
  }

  overview(): Promise<Overview> {
    return this.api.json('overview', overviewSchema);
  }

  async connected(name: string): Promise<void> {
    await until(`worker ${name} is connected`, async () =>
      (await this.overview()).workers.some((worker) => worker.name === name && worker.connected),
    );
  }

  /** The submission once it is paid or rejected. */
  async settled(id: string, deadlineMs?: number): Promise<SubmissionView> {
    return until(
      `submission ${id.slice(0, 8)} is paid or rejected`,
      async () => {
        const view = await this.api.submission(id);
        return (view.state === 'paid' || view.state === 'rejected') && view;
      },
      deadlineMs,
    );
  }

  /** The model once its loss over the whole public validation set is measured. */
  async measured() {
    return until('the loss of the head is measured', async () => {
      const model = await this.api.model();
      return model.validation_loss_nats !== null && { ...model, loss: model.validation_loss_nats };
    });
  }

  /** Ends every process, the coordinator last. Idempotent. */
  async stop(): Promise<void> {
    for (const feed of this.#feeds) feed.close();
    const others = [...this.#processes].filter(([name]) => name !== 'coordinator');
    await Promise.all(
      others.map(([, { child }]) => {
        child.kill('SIGCONT');
        return child.stop();
      }),
    );
    await this.#processes.get('coordinator')?.child.stop();
  }

  #spawn(name: string, args: readonly string[]): ChildHandle {
    const child = ChildHandle.aiblock(name, args, { AIBLOCK_LOG_LEVEL: 'debug', ...this.#env });
    this.#processes.set(name, { child, args });
    return child;
  }

  #folderOf(name: string): string {
    return name === 'worker' ? this.dataDir : join(this.dataDir, `machine-${name}`);
  }

  async #token(): Promise<string> {
    return (await readFile(join(this.dataDir, 'worker-token'), 'utf8')).trim();
  }
}
