import { createHash, randomBytes } from 'node:crypto';
import { Chain } from '#coordinator/chain/chain.ts';
import { createGenesis, DEV_TIMESTAMP_MS, writeGenesis } from '#coordinator/chain/genesis/create-genesis.ts';
import { UNSAFE_DEV_GOVERNOR, UNSAFE_DEV_POOL } from '#coordinator/chain/genesis/dev-keys.ts';
import { Salts } from '#coordinator/chain/salts.ts';
import type { EvaluationJob, HeldJob, JobQueue } from '#coordinator/dispatch/job-queue.ts';
import { Reputations } from '#coordinator/dispatch/reputations.ts';
import { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import { Workers } from '#coordinator/dispatch/workers.ts';
import {
  EVALUATION_DEFAULTS,
  type EvaluationOptions,
  EvaluationStage,
} from '#coordinator/evaluation/evaluation.ts';
import type { ResultOutcome } from '#coordinator/evaluation/settlement.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import { PayloadStore } from '#coordinator/store/payload-store.ts';
import { type SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { type KeyPair, sign } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { firstDecision, type Loss } from '#shared/pol/sequential.ts';
import { attestationDigest, commitmentDigest } from '#shared/protocol/attestation.ts';
import { type FromWorker, type ToWorker, WORKER_PROTOCOL_VERSION } from '#shared/protocol/worker.ts';
import { HeldOutDue } from '#test/helpers/held-out-due.ts';
import { EASY_BITS, SMALL_TENSOR, smallContent } from '#test/helpers/small-genesis.ts';
import { until } from '#test/helpers/until.ts';

export type Lease = Extract<ToWorker, { type: 'evaluate' }>;
export type Evaluated = Extract<FromWorker, { type: 'evaluated' }>;
/** Losses of a submission on a window, as they are. */
export type Truth = (window: number) => { readonly base: number; readonly candidate: Loss };
export interface Losses {
  readonly base: readonly number[];
  readonly candidate: readonly Loss[];
}

interface PoolParts {
  readonly kv: KV;
  readonly chain: Chain;
  readonly submissions: Submissions;
  readonly reputations: Reputations;
  readonly workers: Workers;
}

/** The evaluation stage with its real parts, in memory; queue and workers stand in the same process. */
export class EvaluationPool {
  readonly accepted: string[] = [];
  readonly outcomes: ResultOutcome[] = [];
  /** Through the model, to judge submissions. */
  tokens = 0;
  readonly truths = new Map<string, Truth>();
  readonly faults: string[] = [];
  readonly longWaits: string[] = [];
  /** By how much the stage's clock is ahead. */
  aheadMs = 0;
  readonly kv: KV;
  readonly chain: Chain;
  readonly submissions: Submissions;
  readonly reputations: Reputations;
  readonly workers: Workers;
  readonly heldOut: HeldOutDue;
  readonly stage: EvaluationStage;
  #submitted = 0;

  private constructor(parts: PoolParts, options: EvaluationOptions) {
    const { chain, submissions, reputations, workers } = parts;
    this.kv = parts.kv;
    this.chain = chain;
    this.submissions = submissions;
    this.reputations = reputations;
    this.workers = workers;
    this.heldOut = new HeldOutDue(chain);
    this.stage = new EvaluationStage(
      options,
      {
        queue: new QueueInMemory(),
        workers,
        chain,
        submissions,
        reputations,
        salts: new Salts(chain.networkId, new Uint8Array(32).fill(5)),
        heldOut: this.heldOut,
        now: () => Date.now() + this.aheadMs,
      },
      {
        onPassed: ({ id }) => this.accepted.push(toHex(id)),
        onHeadLoss: (loss) => void chain.recordLoss({ ...loss, at: 0 }),
        onProgress: () => undefined,
        onEvaluated: () => undefined,
        onResult: (outcome) => this.outcomes.push(outcome),
        onCost: ({ tokens }) => {
          this.tokens += tokens;
        },
        onTokens: () => undefined,
        onCanaryEnd: () => undefined,
        onLongWait: (submission) => this.longWaits.push(submission),
        onFault: (message, error) => this.faults.push(`${message}: ${(error as Error).message}`),
      },
    );
    workers.listen(this.stage);
    this.stage.start();
  }

  static async open(
    quorum: Partial<Manifest['quorum']>,
    options: Partial<EvaluationOptions> = {},
  ): Promise<EvaluationPool> {
    const kv = new MemoryKv();
    const payloads = new PayloadStore(kv);
    const content = smallContent();
    const genesis = createGenesis({
      name: 'test',
      unsafeKeys: true,
      governor: UNSAFE_DEV_GOVERNOR,
      pool: UNSAFE_DEV_POOL,
      timestampMs: DEV_TIMESTAMP_MS,
      content,
      pow: { bits: EASY_BITS },
      quorum,
    });
    await writeGenesis({ kv, payloads }, { genesis, content });
    const chain = await Chain.open(kv, payloads);
    // So that submissions are all that is evaluated.
    await chain.recordLoss({ height: chain.height('B'), microNats: 5_000_000, isMeasured: true, at: 0 });
    const reputations = await Reputations.open(kv, Date.now);
    const enrolment = {
      admit: async () => ({ owner: '', standing: 'active' as const }),
      setStanding: async () => undefined,
      seen: async () => undefined,
    };
    const workers = new Workers({ enrolment, reputations, onFault: () => undefined });
    reputations.onOut((key) => workers.putOut(key));
    const submissions = await Submissions.open(kv, Date.now);
    const parts = { kv, chain, submissions, reputations, workers };
    return new EvaluationPool(parts, { ...EVALUATION_DEFAULTS, tickMs: 20, ...options });
  }

  attach<W extends StandIn>(worker: W): W {
    worker.join(this);
    return worker;
  }

  /** Has a submission judged whose losses are these; resolves with its record when nobody works on it any more. */
  async judge(truth: Truth, miner = newKeyPair()): Promise<SubmissionRecord> {
    const id = await this.submit(truth, miner);
    return until(`submission ${++this.#submitted} is judged`, async () => {
      const record = await this.submissions.get(id);
      return record && record.state !== 'queued' && record.state !== 'evaluating' && record;
    });
  }

  async submit(truth: Truth, miner = newKeyPair()): Promise<Uint8Array> {
    const id = new Uint8Array(randomBytes(32));
    this.truths.set(toHex(id), truth);
    const { sealed, meta } = this.chain;
    const found = sealed.tensors.get(SMALL_TENSOR);
    if (!found) throw new Error('the small model has this tensor');
    const payloadHash = new Uint8Array(createHash('sha256').update(id).digest());
    const { name, dtype, shape } = found;
    const tensor = { name, dtype, shape: [...shape], payloadHash, bytes: 64, signature: new Uint8Array(64) };
    const content = { id, miner: miner.publicKey, base: sealed.root, meta: meta.hash, tensors: [tensor] };
    await this.stage.enqueue(await this.submissions.add(content));
    return id;
  }

  close(): Promise<void> {
    return this.stage.close();
  }
}

export interface StandInOptions {
  readonly owner?: string;
  /** Makes something else of the true losses. */
  readonly lie?: (found: Losses, lease: Lease) => Losses;
  readonly name?: string;
}

/** A worker in the process: honest but for what its options say. Rounding differs a little from worker to worker. */
export class StandIn {
  readonly key: KeyPair;
  readonly options: StandInOptions;
  readonly received: ToWorker[] = [];
  readonly refusals: string[] = [];
  /** Leases it got. */
  jobs = 0;
  /** It was shut out. */
  isOut = false;
  session!: WorkerSession;
  protected pool!: EvaluationPool;
  readonly #kept = new Map<string, Evaluated>();

  constructor(options: StandInOptions = {}, key = newKeyPair()) {
    this.options = options;
    this.key = key;
  }

  join(pool: EvaluationPool): void {
    this.pool = pool;
    const { owner, name = 'stand-in' } = this.options;
    const hello = {
      type: 'hello' as const,
      protocol: WORKER_PROTOCOL_VERSION,
      publicKey: toHex(this.key.publicKey),
      name,
      software: 'test',
      roles: ['evaluate' as const],
      backend: 'none',
      threads: 1,
    };
    this.session = new WorkerSession(
      {
        send: (message) => setImmediate(() => this.receive(message)),
        close: (code) => {
          this.isOut = code === 4403;
        },
      },
      {
        hello,
        publicKey: this.key.publicKey,
        bearer: '',
        nowMs: 0,
        ...(owner === undefined ? {} : { owner }),
      },
    );
    pool.workers.join(this.session);
    this.send({ type: 'ready', role: 'evaluate' });
  }

  receive(message: ToWorker): void {
    if (this.isOut) return;
    this.received.push(message);
    if (message.type === 'evaluate') {
      this.jobs += 1;
      this.evaluate(message);
      this.send({ type: 'ready', role: 'evaluate' });
    }
    if (message.type === 'reveal') this.reveal(message.lease);
  }

  /** Commits to what it found. */
  evaluate(lease: Lease): void {
    const result = this.result(lease);
    this.#kept.set(lease.lease, result);
    this.send({ type: 'committed', lease: lease.lease, commitment: this.commitment(lease, result) });
  }

  reveal(lease: string): void {
    const result = this.#kept.get(lease);
    if (result) this.send(result);
  }

  commitment(lease: Lease, { base, candidate, nonce }: Evaluated): string {
    const result = {
      windows: lease.windows.slice(0, base.length),
      base,
      candidate,
      nonce: fromHex(nonce, 32),
    };
    return toHex(commitmentDigest(this.pool.chain.networkId, result, this.key.publicKey));
  }

  /** Losses up to the look that decides, signed. */
  result(lease: Lease): Evaluated {
    const all = this.options.lie?.(this.#found(lease), lease) ?? this.#found(lease);
    const decided = lease.rule && firstDecision(all.base, all.candidate, lease.rule);
    const count = decided?.windows ?? lease.windows.length;
    return this.signed(lease, { base: all.base.slice(0, count), candidate: all.candidate.slice(0, count) });
  }

  signed(lease: Lease, losses: Losses): Evaluated {
    const target = {
      submission: fromHex(lease.submission, 32),
      head: fromHex(lease.head, 32),
      baseRoot: fromHex(lease.model.root, 32),
      candidateRoot: fromHex(lease.candidateRoot, 32),
      windows: lease.windows.slice(0, losses.base.length),
      heldOut: lease.heldOut && fromHex(lease.heldOut.root, 32),
    };
    const signature = sign(attestationDigest(this.pool.chain.networkId, target, losses), this.key.secretKey);
    return {
      type: 'evaluated',
      lease: lease.lease,
      base: [...losses.base],
      candidate: [...losses.candidate],
      nonce: randomBytes(32).toString('hex'),
      signature: toHex(signature),
      ms: 1,
      tokens: 2 * losses.base.length * 16,
    };
  }

  send(message: FromWorker): void {
    try {
      this.pool.workers.deliver(this.session, message);
    } catch (error) {
      this.refusals.push(PoolError.from(error).code);
    }
  }

  #found({ windows, submission, changed }: Lease): Losses {
    const truth = this.pool.truths.get(submission);
    const noise = (window: number) => ((window * 31 + (this.key.publicKey[5] as number)) % 5) - 2;
    const at = (window: number) =>
      (changed.length > 0 && truth?.(window)) || { base: 5_000_000, candidate: 5_000_000 };
    return {
      base: windows.map((window) => at(window).base + noise(window)),
      candidate: windows.map((window) => {
        const { candidate } = at(window);
        return candidate === null ? null : candidate + noise(window);
      }),
    };
  }
}

class QueueInMemory implements JobQueue {
  readonly #waiting: EvaluationJob[] = [];
  readonly #active = new Set<string>();

  async add(data: EvaluationJob): Promise<void> {
    const id = `${data.kind}-${data.id}`;
    const waits = this.#waiting.some((job) => job.kind === data.kind && job.id === data.id);
    if (!waits && !this.#active.has(id)) this.#waiting.push(data);
  }

  async take(): Promise<HeldJob | null> {
    const data = this.#waiting.shift();
    if (!data) return null;
    const id = `${data.kind}-${data.id}`;
    this.#active.add(id);
    return {
      data,
      extend: async () => undefined,
      complete: async () => void this.#active.delete(id),
      giveBack: async () => {
        this.#active.delete(id);
        this.#waiting.unshift(data);
      },
    };
  }
}
