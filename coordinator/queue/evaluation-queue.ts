import { Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { EvaluationJob, HeldJob, JobQueue } from '#coordinator/dispatch/job-queue.ts';
import { openRedis, type RedisConnection } from '#coordinator/queue/redis-connection.ts';
import { PoolError } from '#shared/errors/pool-error.ts';

export interface QueueOptions {
  /** Redis key prefix: the network's id, so that pools can share a Redis. */
  readonly prefix: string;
  /** A job whose coordinator died is free again after this long. */
  readonly lockMs: number;
  /** Name of this coordinator's gateway, unlike any other on the same Redis. */
  readonly gateway: string;
}

const NAME = 'evaluation';
const STALLED_CHECK_MS = 2_000;
/** A coordinator that dies with a job is not the job's fault; ours count crashes themselves. */
const MAX_STALLED = 1_000;
/** A command waits no longer than this for a Redis that is slow or gone. */
const COMMAND_TIMEOUT_MS = 900;
/** A job that is not added by then is added by a later sweep. */
const ADD_MS = 500;
/** In closing, a Redis that does not answer is left behind after this long. */
const CLOSE_MS = 1_500;
const HEAD_PRIORITY = 10;
const READY_SECONDS = 60;

/** The BullMQ queue of evaluations; the gateway takes jobs for its workers by hand. */
export class EvaluationQueue implements JobQueue {
  readonly #options: QueueOptions;
  readonly #clients: readonly Redis[];
  readonly #queue: Queue<EvaluationJob>;
  readonly #fetcher: Worker<EvaluationJob>;
  #taken = 0;

  private constructor(options: QueueOptions, redis: Redis, fetcherRedis: Redis) {
    this.#options = options;
    this.#clients = [redis, fetcherRedis];
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
  }

  static async open(connection: RedisConnection, options: QueueOptions): Promise<EvaluationQueue> {
    const commandTimeout = COMMAND_TIMEOUT_MS;
    const redis = openRedis(connection, { commandTimeout, maxRetriesPerRequest: 1 });
    // BullMQ asks for null here; the command timeout bounds the wait all the same, as nothing blocks.
    const fetcherRedis = openRedis(connection, { commandTimeout, maxRetriesPerRequest: null });
    const queue = new EvaluationQueue(options, redis, fetcherRedis);
    await queue.#queue.waitUntilReady();
    await queue.#fetcher.waitUntilReady();
    await queue.#fetcher.startStalledCheckTimer();
    return queue;
  }

  async add(data: EvaluationJob): Promise<void> {
    const priority = data.kind === 'head' ? { priority: HEAD_PRIORITY } : {};
    // Several commands, each with its own timeout: whoever submits waits for none of them for long.
    await settled(this.#queue.add(data.kind, data, { jobId: jobId(data), ...priority }), ADD_MS);
  }

  async take(): Promise<HeldJob | null> {
    const token = `${this.#options.gateway}-${this.#taken++}`;
    const job = await this.#fetcher.getNextJob(token, { block: false });
    if (!job) return null;
    return {
      data: job.data,
      extend: async () => void (await job.extendLock(token, this.#options.lockMs)),
      complete: async () => void (await job.moveToCompleted(undefined as never, token, false)),
      giveBack: async () => void (await job.moveToWait(token)),
    };
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

  /** A Redis that is full answers, but takes nothing: it has to take something. */
  async ping(): Promise<void> {
    await this.#clients[0]?.set(`${this.#options.prefix}:ready`, '1', 'EX', READY_SECONDS);
  }

  /** Settles in bounded time, also while Redis is away. */
  async close(): Promise<void> {
    const closed = Promise.allSettled([this.#fetcher.close(true), this.#queue.close()]);
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      closed,
      new Promise<void>((resolve) => {
        timer = setTimeout(resolve, CLOSE_MS);
      }),
    ]);
    clearTimeout(timer);
    for (const client of this.#clients) client.disconnect();
  }
}

/** REDIS where the work is not done by then; it may be done later. */
async function settled(work: Promise<unknown>, deadlineMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new PoolError('REDIS', `no answer in ${deadlineMs} ms`)), deadlineMs);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

const jobId = ({ kind, id }: EvaluationJob): string => `${kind}-${id}`;
