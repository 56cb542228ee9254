import { z } from 'zod';

const hex32 = z.string().regex(/^[0-9a-f]{64}$/);
const hexOf = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`));
const number = z.int().nonnegative();
/** Micro-nats; null where it is not finite. */
const losses = z.array(number.nullable());

/** `open`: takes seals. `over`: its shards are about to be shown. `revealed`: results are due. `settled`: all are there. */
export const EPOCH_STATES = ['open', 'over', 'revealed', 'settled'] as const;

const epochShape = {
  /** From 0. */
  number,
  state: z.enum(EPOCH_STATES),
  /** Root of the held-out part of the Meta block. */
  root: hex32,
  /** Sealed submissions that it takes. */
  seals: number,
  /** Number of its first shard, and of its shards, in the held-out part. */
  first_shard: number,
  shards: number,
  /** Unix milliseconds; null before its end. */
  revealed_at: number.nullable(),
  submissions: z.array(
    z.strictObject({
      submission: hex32,
      /** B height of its seal. */
      height: number,
      /** Whether it held on the shards; null while that is not known. */
      held: z.boolean().nullable(),
    }),
  ),
};

/** An epoch in `GET /epochs` and on the feed. */
export const epochSchema = z.strictObject(epochShape);
export type EpochView = z.infer<typeof epochSchema>;

export const epochsSchema = z.strictObject({ epochs: z.array(epochSchema) });

const evidenceSchema = z.strictObject({
  submission: hex32,
  at: number,
  held: z.boolean(),
  /** Tokens through the models for it. */
  tokens: number,
  /** Over all windows of the shards, in their order. */
  attestations: z.array(
    z.strictObject({
      worker: hexOf(33),
      backend: z.string(),
      base: losses,
      candidate: losses,
      signature: hexOf(64),
    }),
  ),
});

/** `GET /epochs/:number`: with all that is needed to check what came of it. */
export const epochDetailSchema = z.strictObject({
  ...epochShape,
  /** Each is at `GET /payload/:hash`, and `path` leads from its bytes to the root. Empty before the end. */
  revealed: z.array(z.strictObject({ index: number, hash: hex32, bytes: number, path: z.array(hex32) })),
  /** Number of the first window in the held-out part, and how many windows follow. */
  windows: z.strictObject({ first: number, count: number }),
  results: z.array(evidenceSchema),
});
export type EpochDetail = z.infer<typeof epochDetailSchema>;
