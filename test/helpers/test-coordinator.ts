import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Chain } from '#coordinator/chain/chain.ts';
import type { GenesisContent } from '#coordinator/chain/genesis/content.ts';
import {
  createGenesis,
  DEV_TIMESTAMP_MS,
  type GenesisOptions,
  writeGenesis,
} from '#coordinator/chain/genesis/create-genesis.ts';
import { UNSAFE_DEV_GOVERNOR, UNSAFE_DEV_POOL } from '#coordinator/chain/genesis/dev-keys.ts';
import { CHAT_DEFAULTS } from '#coordinator/chat/chat.ts';
import { EVALUATION_DEFAULTS } from '#coordinator/evaluation/evaluation.ts';
import { HTTP_DEFAULTS } from '#coordinator/http/app.ts';
import { createLog } from '#coordinator/log.ts';
import { MINING_DEFAULTS } from '#coordinator/mining/options.ts';
import { type RunningCoordinator, startCoordinator } from '#coordinator/node.ts';
import type { CoordinatorOptions } from '#coordinator/options.ts';
import { newKeyPair, writeSecret } from '#coordinator/store/key-files.ts';
import { PayloadStore } from '#coordinator/store/payload-store.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { INTAKE_DEFAULTS } from '#coordinator/submission/intake.ts';
import { type ModelView, modelSchema, type SubmissionView, submissionSchema } from '#shared/api/schemas.ts';
import { FakeWorker, type FakeWorkerOptions } from '#test/helpers/fake-worker.ts';
import { EASY_BITS, fileOf, post, smallContent } from '#test/helpers/small-genesis.ts';
import { until } from '#test/helpers/until.ts';

export const TOKEN = 'token of the tests';

/** A coordinator inside the test's process, on a chain of a model of some thousand weights, over real Redis and RocksDB. */
export class TestCoordinator {
  readonly dataDir: string;
  readonly lines: string[] = [];
  readonly #options: Partial<CoordinatorOptions>;
  readonly #workers: FakeWorker[] = [];
  #running: RunningCoordinator | undefined;

  private constructor(dataDir: string, options: Partial<CoordinatorOptions>) {
    this.dataDir = dataDir;
    this.#options = options;
  }

  static async start(
    options: Partial<CoordinatorOptions> = {},
    content: GenesisContent = smallContent(),
    rules: ChainRules = {},
  ): Promise<TestCoordinator> {
    const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'aiblock-test-')));
    await makeChain(dataDir, content, rules);
    const coordinator = new TestCoordinator(dataDir, options);
    await coordinator.start();
    return coordinator;
  }

  get workers(): readonly FakeWorker[] {
    return this.#workers;
  }

  get url(): string {
    return this.#running?.url ?? '';
  }

  async start(changes: Partial<CoordinatorOptions> = {}): Promise<void> {
    const log = createLog('info', (line) => this.lines.push(line));
    this.#running = await startCoordinator(
      {
        host: '127.0.0.1',
        port: 0,
        redisUrl: undefined,
        workerToken: TOKEN,
        readOnly: false,
        initDev: false,
        http: HTTP_DEFAULTS,
        lockMs: 3_000,
        intake: INTAKE_DEFAULTS,
        evaluation: { ...EVALUATION_DEFAULTS, tickMs: 200 },
        mining: { ...MINING_DEFAULTS, probeMs: 0 },
        chat: CHAT_DEFAULTS,
        ...this.#options,
        ...changes,
        dataDir: this.dataDir,
      },
      log,
    );
  }

  async stop(): Promise<void> {
    await this.#running?.close();
    this.#running = undefined;
  }

  async restart(changes: Partial<CoordinatorOptions> = {}): Promise<void> {
    await this.stop();
    await this.start(changes);
  }

  /** Everything of it, at the end of a test. */
  async destroy(): Promise<void> {
    for (const worker of this.#workers) await worker.close();
    await this.stop();
    await rm(this.dataDir, { recursive: true, force: true, maxRetries: 5 });
  }

  async attach(options: Partial<FakeWorkerOptions> = {}): Promise<FakeWorker> {
    const worker = await FakeWorker.attach({ url: this.url, key: newKeyPair(), token: TOKEN, ...options });
    this.#workers.push(worker);
    return worker;
  }

  async get(path: string): Promise<{ status: number; body: unknown; headers: Headers }> {
    const response = await fetch(new URL(path, this.url));
    return { status: response.status, body: await response.json(), headers: response.headers };
  }

  async model(): Promise<ModelView> {
    return modelSchema.parse((await this.get('/model')).body);
  }

  async submission(id: string): Promise<SubmissionView> {
    return submissionSchema.parse((await this.get(`/submissions/${id}`)).body);
  }

  async reaches(id: string, ...states: readonly string[]): Promise<SubmissionView> {
    return until(`submission ${id.slice(0, 8)} is ${states.join(' or ')}`, async () => {
      const view = await this.submission(id);
      return states.includes(view.state) && view;
    });
  }

  /** Every tensor of the model with one new value, through to payment. */
  async commitWhole(value: number): Promise<SubmissionView> {
    const model = await this.model();
    // Unlike values: equal bytes are the same payload.
    const tensors = Object.fromEntries(model.tensors.map(({ name }, i) => [name, value + i / 1024]));
    const file = fileOf(model, { key: newKeyPair(), tensors });
    const { code } = await post(this.url, file);
    if (code !== undefined) throw new Error(`refused with ${code}`);
    const view = await this.reaches(file.id, 'paid', 'rejected');
    if (view.state === 'rejected') throw new Error(`rejected with ${view.error?.code}`);
    return view;
  }

  /** What the log says of the `index`th commit since the first start. */
  headNotice(index: number): Promise<{ height: number; blocks: number; overheadMs: number }> {
    const heads = () => this.lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'head');
    return until(`commit ${index} is in the log`, () => heads()[index]);
  }

  /** Warnings and errors of the log. */
  faults(): { msg: string; err?: { message: string; code?: string } }[] {
    return this.lines.map((line) => JSON.parse(line)).filter(({ level }) => level >= 40);
  }
}

/** What differs from the development network's rules. */
export type ChainRules = Pick<GenesisOptions, 'epoch' | 'quorum' | 'gate' | 'reward' | 'pow'>;

/** A chain of the small model, unless the folder has one. */
export async function makeChain(
  dataDir: string,
  content: GenesisContent = smallContent(),
  rules: ChainRules = {},
): Promise<void> {
  const kv = await openRocksKv(join(dataDir, 'store'));
  try {
    if (await Chain.exists(kv)) return;
    await writeSecret(dataDir, 'salts', new Uint8Array(randomBytes(32)));
    await writeSecret(dataDir, 'pool', UNSAFE_DEV_POOL.secretKey);
    await writeSecret(dataDir, 'governor', UNSAFE_DEV_GOVERNOR.secretKey);
    const genesis = createGenesis({
      name: 'test',
      unsafeKeys: true,
      governor: UNSAFE_DEV_GOVERNOR,
      pool: UNSAFE_DEV_POOL,
      timestampMs: DEV_TIMESTAMP_MS,
      content,
      pow: { bits: EASY_BITS },
      ...rules,
      quorum: { attestations: 1, ...rules.quorum },
    });
    await writeGenesis({ kv, payloads: new PayloadStore(kv) }, { genesis, content });
  } finally {
    await kv.close();
  }
}
