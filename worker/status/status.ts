import { z } from 'zod';

/** What a worker tells its owner about itself, on loopback. Rates are measured, never estimated. */
export const workerStatusSchema = z.strictObject({
  name: z.string(),
  software: z.string(),
  address: z.string(),
  /** Address that its work is paid to. */
  owner: z.string(),
  roles: z.array(z.string()),
  started_at: z.number(),
  coordinators: z.array(z.string()),
  connected: z.boolean(),
  /** When the line went up or down last. */
  connected_since: z.number(),
  /** What the operator decided: active, paused, draining. */
  standing: z.string(),
  machine: z.strictObject({
    cores: z.number(),
    /** Processes that want a core, averaged over a minute. */
    load: z.number(),
    memory_bytes: z.number(),
    memory_free_bytes: z.number(),
  }),
  /** Compute backends with their self-test, the one in use first. */
  backends: z.array(
    z.strictObject({
      name: z.string(),
      device: z.string(),
      gflops: z.number(),
      memory_bytes: z.number().nullable(),
    }),
  ),
  /** What the driver of NVIDIA tells; empty without one, null where it does not tell. */
  gpus: z.array(
    z.strictObject({
      id: z.string(),
      name: z.string(),
      utilisation: z.number().nullable(),
      celsius: z.number().nullable(),
      watts: z.number().nullable(),
      memory_used_bytes: z.number().nullable(),
      memory_bytes: z.number().nullable(),
    }),
  ),
  hashes_per_second: z.number(),
  tokens_per_second: z.number(),
  rss_bytes: z.number(),
  /** Evaluations and answers that are not finished. */
  unfinished: z.number(),
  /** Since the start. */
  done: z.strictObject({
    evaluations: z.number(),
    failed_evaluations: z.number(),
    ranges: z.number(),
    shares: z.number(),
    credited: z.number(),
    answers: z.number(),
  }),
  /** Of the owner's account, base units as decimal text; null where the pool does not answer. */
  balance: z.string().nullable(),
  vesting: z.string().nullable(),
  last_trouble: z.strictObject({ at: z.number(), message: z.string() }).nullable(),
});
export type WorkerStatus = z.infer<typeof workerStatusSchema>;
