import { type Job, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { RedisConnection } from '#coordinator/queue/redis-connection.ts';

/** A job holds hashes, never bytes: a submission to judge, or the head itself to measure. */
export interface EvaluationJob {
  readonly kind: 'submission' | 'head';
  /** Submission id or model root, hex. */
  readonly id: string;
}

export interface QueueOptions {
  /** Redis key prefix: the network's id, so that pools can share a Redis. */
  readonly prefix: string;
  /** A job whose coordinator died is free again after this long. */
  readonly lockMs: number;
  /** Name of this coordinator's gateway, unlike any other on the same Redis. */
  readonly gateway: string;
}

/** A job that this coordinator holds, until it is completed or given back. */
export interface HeldJob {
  readonly data: EvaluationJob;
  readonly token: string;
  readonly job: Job<EvaluationJob>;
}

const NAME = 'evaluation';
const STALLED_CHECK_MS = 2_000;
/** A coordinator that dies with a job is not the job's fault; ours count crashes themselves. */
const MAX_STALLED = 1_000;
/** A command waits no longer than this for a Redis that is slow or gone. */
const COMMAND_TIMEOUT_MS = 900;
const HEAD_PRIORITY = 10;

/** The BullMQ queue of evaluations; the gateway takes jobs for its workers by hand. */
export class EvaluationQueue {
  readonly #options: QueueOptions;
  readonly #redis: Redis;
  readonly #queue: Queue<EvaluationJob>;
  readonly #fetcher: Worker<EvaluationJob>;
  #taken = 0;

  private constructor(options: QueueOptions, redis: Redis, fetcherRedis: Redis) {
    this.#options = options;
    this.#redis = redis;
    const shared = { prefix: options.prefix };
    this.#queue = new Queue(NAME, {
      ...shared,
      connection: redis,
      defaultJobOptions: { removeOnComplete: true, removeOnFail: true, attempts: 1 },
      streams: { events: { maxLen: 1_000 } },
    });
    this.#fetcher = new Worker<EvaluationJob>(NAME, null, {
      ...shared,
      connection: fetcherRedis,
      lockDuration: options.lockMs,
      stalledInterval: STALLED_CHECK_MS,
      maxStalledCount: MAX_STALLED,
    });
    // Errors of a lost Redis are answered where a command is awaited; without a listener they end the process.
    const ignore = () => undefined;
    this.#queue.on('error', ignore);
    this.#fetcher.on('error', ignore);
    redis.on('error', ignore);
    fetcherRedis.on('error', ignore);
  }

  static async open(connection: RedisConnection, options: QueueOptions): Promise<EvaluationQueue> {
    const redis = connect(connection, { commandTimeout: COMMAND_TIMEOUT_MS, maxRetriesPerRequest: 1 });
    const fetcherRedis = connect(connection, { maxRetriesPerRequest: null });
    const queue = new EvaluationQueue(options, redis, fetcherRedis);
    await queue.#queue.waitUntilReady();
    await queue.#fetcher.waitUntilReady();
    await queue.#fetcher.startStalledCheckTimer();
    return queue;
  }

  /** Adds a job once: while one of the same id waits or runs, nothing happens. */
  async add(data: EvaluationJob): Promise<void> {
    const priority = data.kind === 'head' ? { priority: HEAD_PRIORITY } : {};
    await this.#queue.add(data.kind, data, { jobId: jobId(data), ...priority });
  }

  /** The next job, now held by this coordinator, or null when none waits. */
  async take(): Promise<HeldJob | null> {
    const token = `${this.#options.gateway}-${this.#taken++}`;
    const job = await this.#fetcher.getNextJob(token, { block: false });
    return job ? { data: job.data, token, job } : null;
  }

  async extend({ job, token }: HeldJob): Promise<void> {
    await job.extendLock(token, this.#options.lockMs);
  }

  /** Done, whatever came of it: what it was about stands in the store. */
  async complete({ job, token }: HeldJob): Promise<void> {
    await job.moveToCompleted(undefined as never, token, false);
  }

  /** Back to the front of the queue, for another worker. */
  async giveBack({ job, token }: HeldJob): Promise<void> {
    await job.moveToWait(token);
  }

  async counts(): Promise<{
    waiting: number;
    active: number;
    delayed: number;
    failed: number;
    oldestAgeMs: number | null;
  }> {
    const counts = await this.#queue.getJobCounts('waiting', 'prioritized', 'active', 'delayed', 'failed');
    const [oldest] = await this.#queue.getJobs(['waiting', 'prioritized'], 0, 0, true);
    return {
      waiting: (counts.waiting ?? 0) + (counts.prioritized ?? 0),
      active: counts.active ?? 0,
      delayed: counts.delayed ?? 0,
      failed: counts.failed ?? 0,
      oldestAgeMs: oldest ? Math.max(0, Date.now() - oldest.timestamp) : null,
    };
  }

  async ping(): Promise<void> {
    await this.#redis.ping();
  }

  async close(): Promise<void> {
    await this.#fetcher.close(true);
    await this.#queue.close();
    this.#redis.disconnect();
  }
}

const jobId = ({ kind, id }: EvaluationJob): string => `${kind}-${id}`;

function connect(
  connection: RedisConnection,
  options: { commandTimeout?: number; maxRetriesPerRequest: number | null },
): Redis {
  const settings = { ...options, retryStrategy: (times: number) => Math.min(50 * times, 1_000) };
  if (connection.url !== undefined) return new Redis(connection.url, settings);
  return new Redis({ ...settings, path: connection.path as string });
}
