import { z } from 'zod';
import { STANDINGS } from '#shared/protocol/standing.ts';

/** Workers: how one attaches, and what the pool shows of it. */

export const enrolmentQuerySchema = z.strictObject({
  /** Public key of a worker. */
  key: z
    .string()
    .regex(/^[0-9a-f]{66}$/)
    .optional(),
});
/** `GET /enrolment`. */
export const enrolmentSchema = z.strictObject({
  /** Standing of the key; `unknown` where it is not enrolled, null where none was asked about. */
  key: z.enum([...STANDINGS, 'unknown']).nullable(),
  /** Whether the token enrols: `pool` and `open` do. Null where none was shown. */
  token: z.enum(['pool', 'open', 'used', 'expired', 'revoked', 'unknown']).nullable(),
});
export type EnrolmentView = z.infer<typeof enrolmentSchema>;

/** What a worker measured of its machine at its start. */
export const capabilitiesViewSchema = z.strictObject({
  backends: z.array(
    z.strictObject({
      name: z.string(),
      device: z.string().optional(),
      gflops: z.number().optional(),
      memory_bytes: z.number().optional(),
    }),
  ),
  hashes_per_second: z.number(),
  memory_bytes: z.number(),
  cores: z.number(),
  node: z.string().optional(),
});

export const workerSchema = z.strictObject({
  address: z.string(),
  /** Address that it works for and that its work is paid to. */
  owner: z.string(),
  name: z.string(),
  connected: z.boolean(),
  /** What the operator decided: active, paused, draining or revoked. */
  standing: z.string(),
  roles: z.array(z.string()),
  backend: z.string(),
  threads: z.number(),
  software: z.string(),
  hashes_per_second: z.number(),
  tokens_per_second: z.number(),
  /** Since it connected, and the rate that its shares prove; left out until it sent one. */
  shares: z
    .strictObject({ accepted: z.number(), refused: z.number(), hashes_per_second: z.number() })
    .optional(),
  rss_bytes: z.number(),
  /** Leases it holds. */
  evaluating: z.number(),
  mining: z.number(),
  last_seen_at: z.number(),
  capabilities: capabilitiesViewSchema.optional(),
  /** How its machine is; null where it does not tell. */
  health: z
    .strictObject({
      gpus: z.array(
        z.strictObject({
          utilisation: z.number().nullable(),
          celsius: z.number().nullable(),
          memory_used_bytes: z.number().nullable(),
        }),
      ),
      /** Its last warning or error. */
      trouble: z.strictObject({ at: z.number(), message: z.string() }).nullable(),
    })
    .optional(),
  /** What the pool thinks of its results; left out where it has none. */
  reputation: z
    .strictObject({
      agreements: z.number(),
      consecutive: z.number(),
      disagreements: z.number(),
      /** It gets no work for a while. */
      out: z.boolean(),
    })
    .optional(),
});
export type WorkerView = z.infer<typeof workerSchema>;
