import { z } from 'zod';
import { digits, errorBodySchema, hex32 } from '#shared/api/common-schemas.ts';
import { epochSchema } from '#shared/api/epoch-schemas.ts';
import { workerSchema } from '#shared/api/worker-schemas.ts';
import { SUBMISSION_STATES } from '#shared/lifecycle.ts';

/** The public HTTP and WebSocket API: what comes in is checked against these, what goes out has their types. */

const stateSchema = z.enum(SUBMISSION_STATES as [string, ...string[]]);

export const listQuerySchema = z.strictObject({
  state: stateSchema.optional(),
  limit: digits.pipe(z.number().min(1).max(500)).default(50),
});
export const blocksQuerySchema = z.strictObject({
  /** First height; the newest blocks when it is left out. */
  from: digits.optional(),
  limit: digits.pipe(z.number().min(1).max(500)).default(50),
});

export const submissionSchema = z.strictObject({
  id: hex32,
  state: stateSchema,
  miner: z.string(),
  base: hex32,
  /** Tensors that differ from the head, and their bytes. */
  tensors: z.array(z.string()),
  bytes: z.number(),
  received_at: z.number(),
  updated_at: z.number(),
  /** Every move, oldest first: state and Unix milliseconds. */
  history: z.array(z.strictObject({ state: stateSchema, at: z.number() })),
  progress: z.strictObject({ done: z.number(), total: z.number() }).optional(),
  /**
   * Why the workers attached now cannot judge it; null where they can, or nothing is to be judged. In
   * `GET /submissions/:id` alone, of a pool that is not only read.
   */
  waiting: z
    .strictObject({
      /** The first of these that keeps workers off it. */
      reason: z.enum([
        'no-workers',
        'own-workers',
        'too-little-memory',
        'draining-workers',
        'same-owner',
        'too-few-workers',
      ]),
      /** For people: "needs 2 workers of different owners who did not submit it; 1 is attached". */
      message: z.string(),
    })
    .nullable()
    .optional(),
  verdict: z
    .strictObject({
      passed: z.boolean(),
      windows: z.number(),
      loss_before_nats: z.number(),
      loss_after_nats: z.number(),
      gain_nats: z.number(),
      margin_nats: z.number(),
      tokens: z.number(),
      evaluation_ms: z.number(),
      /** Interval of the mean gain at the gate's z. */
      interval_nats: z.tuple([z.number(), z.number()]),
      /** Why the looks ended; null in records of earlier versions. */
      stop: z.enum(['clear', 'hopeless', 'not-finite']).nullable(),
      /** Workers whose results agree, with the windows each evaluated. */
      attestations: z.array(z.strictObject({ worker: z.string(), backend: z.string(), windows: z.number() })),
      /** Workers whose results the others did not find. */
      outvoted: z.array(z.string()),
      /** Agreements in a row of the trusted worker who refused alone; null where a quorum decided. */
      trusted: z.number().nullable(),
      /** Window and gain on it in micro-nats, in the order of evaluation; in `GET /submissions/:id` alone. */
      differences: z.array(z.tuple([z.number(), z.number()])).optional(),
    })
    .optional(),
  /** Tokens through the model for all its judgements, and those that looks and trust made unnecessary. */
  cost: z
    .strictObject({
      evaluations: z.number(),
      tokens: z.number(),
      saved_by_looks: z.number(),
      saved_by_trust: z.number(),
    })
    .optional(),
  /** B heights of its blocks, once committed. */
  blocks: z.strictObject({ first: z.number(), last: z.number() }).optional(),
  /** Base units to the submitter, as decimal text. */
  reward: z.string().optional(),
  /** Its epoch, and whether it held on what that revealed (null while not known); in `GET /submissions/:id` alone. */
  held_out: z.strictObject({ epoch: z.number(), held: z.boolean().nullable() }).optional(),
  error: errorBodySchema.shape.error.optional(),
});
export type SubmissionView = z.infer<typeof submissionSchema>;

/** `POST /claims`, and its answer. */
export const claimRequestSchema = z.strictObject({ claim: hex32 });
export const claimSchema = z.strictObject({
  claim: hex32,
  /** When it was first made; it counts until `expires_at`. */
  claimed_at: z.number(),
  expires_at: z.number(),
});
export type ClaimView = z.infer<typeof claimSchema>;

/** An upload by parts. */
export const uploadSchema = z.strictObject({
  /** Of the submission that it becomes. */
  id: hex32,
  /** Behind the header: in all, and received and durable. */
  bytes: z.number(),
  received: z.number(),
  /** Forgotten when nothing is heard of it until then; 0 once all is there. */
  expires_at: z.number(),
  /** Once all is there. */
  submission: submissionSchema.optional(),
});
export type UploadView = z.infer<typeof uploadSchema>;

export const blockSchema = z.strictObject({
  version: z.number(),
  index: z.number(),
  /** Unix epoch seconds. */
  timestamp: z.number(),
  prev_hash: hex32,
  chain_id: z.enum(['A', 'B']),
  points_to: hex32,
  payload_hash: hex32,
  payload_size: z.number(),
  miner_pub: z.string(),
  payload_sig: z.string(),
  nonce: z.string(),
  body_hash: hex32,
  bits: z.string(),
  hash: hex32,
  /** The decoded body, bytes as hex. */
  body: z.unknown(),
  state: z.enum(['sealed', 'part']),
});
export type BlockView = z.infer<typeof blockSchema>;

export const modelSchema = z.strictObject({
  network: hex32,
  name: z.string(),
  /** True where governor and pool keys are public: a development network. */
  unsafe_keys: z.boolean(),
  meta: z.strictObject({ index: z.number(), hash: hex32, payload_hash: hex32 }),
  head: z.strictObject({ index: z.number(), hash: hex32 }),
  root: hex32,
  /** Hash of the salt that will fix the windows of submissions judged on this head. */
  salt_hash: hex32,
  parameters: z.number(),
  /** Mean loss over the public validation set at this head, the newest of `GET /overview`'s losses; null until known. */
  validation_loss_nats: z.number().nullable(),
  tensors: z.array(
    z.strictObject({
      name: z.string(),
      dtype: z.string(),
      shape: z.array(z.number()),
      hash: hex32,
      /** B height of the newest sealed block of this tensor. */
      height: z.number(),
    }),
  ),
});
export type ModelView = z.infer<typeof modelSchema>;

/** `GET /meta` and `GET /meta/:index`: a Meta block and what it says. */
export const metaSchema = z.strictObject({
  index: z.number(),
  hash: hex32,
  prev_hash: hex32,
  /** The B head it was made on: it rules what comes behind it; zeros in A0. */
  points_to: hex32,
  /** Unix milliseconds. */
  at: z.number(),
  payload_hash: hex32,
  payload_size: z.number(),
  /** Addresses of the pool's key and the governors', and of those who signed this block. */
  pool: z.string(),
  governors: z.array(z.string()),
  signed_by: z.array(z.string()),
  chat_template: z.string(),
  /** The manifest without whole files and shards: bytes as "0x…", numbers beyond 2⁵³ as "…n". */
  fields: z.record(z.string(), z.unknown()),
});
export type MetaView = z.infer<typeof metaSchema>;

/** One point of the loss curve: the model sealed at `height`. */
export const lossPointSchema = z.strictObject({
  height: z.number(),
  at: z.number(),
  loss_nats: z.number(),
  /** On the whole public validation set; else estimated: measured before, less the gains certified since. */
  measured: z.boolean(),
  submission: hex32.nullable(),
});
export type LossPoint = z.infer<typeof lossPointSchema>;

export const overviewSchema = z.strictObject({
  network: hex32,
  name: z.string(),
  unsafe_keys: z.boolean(),
  height: z.strictObject({ A: z.number(), B: z.number() }),
  root: hex32,
  head_at: z.number(),
  validation_loss_nats: z.number().nullable(),
  parameters: z.number(),
  /** Submissions by state, since the chain began. */
  submissions: z.record(z.string(), z.number()),
  hashes_per_second: z.number(),
  minted: z.string(),
  workers: z.array(workerSchema),
  /** Workers that must agree on a submission. */
  quorum: z.number(),
  losses: z.array(lossPointSchema),
});
/** `GET /overview`: what the page shows first. */
export type Overview = z.infer<typeof overviewSchema>;

/** Messages of the coordinator on `/ws/feed`. */
export const feedEventSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('submission'), at: z.number(), submission: submissionSchema }),
  z.strictObject({
    type: z.literal('head'),
    at: z.number(),
    height: z.number(),
    hash: hex32,
    root: hex32,
    submission: hex32.nullable(),
    blocks: z.number(),
  }),
  z.strictObject({ type: z.literal('epoch'), at: z.number(), epoch: epochSchema }),
  /** Another Meta block rules. */
  z.strictObject({ type: z.literal('meta'), at: z.number(), index: z.number(), hash: hex32 }),
  z.strictObject({ type: z.literal('loss'), at: z.number(), point: lossPointSchema }),
  z.strictObject({ type: z.literal('worker'), at: z.number(), worker: workerSchema }),
]);
export type FeedEvent = z.infer<typeof feedEventSchema>;

export const readinessSchema = z.strictObject({
  ready: z.boolean(),
  checks: z.record(z.string(), z.strictObject({ ok: z.boolean(), detail: z.string() })),
});
export type Readiness = z.infer<typeof readinessSchema>;
