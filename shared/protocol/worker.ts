import { z } from 'zod';
import { chatRequestSchema } from '#shared/api/chat-schemas.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { firstIssue } from '#shared/errors/schema-issue.ts';
import { capabilitiesSchema, healthSchema, measured, shown } from '#shared/protocol/capabilities.ts';
import { ownerProofSchema } from '#shared/protocol/owner.ts';
import { receiptSchema } from '#shared/protocol/receipt.ts';
import { STANDINGS } from '#shared/protocol/standing.ts';

/**
 * The messages between a worker and the coordinator's gateway: JSON text frames over one WebSocket that the worker
 * opens at `/ws/worker`. PROTOCOL §11.
 */
export const WORKER_PROTOCOL_VERSION = 4;
/** A worker that is silent for this long is taken for lost, and its leases go back. */
export const WORKER_SILENCE_MS = 4_000;
export const HEARTBEAT_MS = 1_000;
export const MAX_WORKER_MESSAGE_BYTES = 1024 * 1024;

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));
const id = z.string().min(1).max(100);
const losses = z.array(z.number().nullable()).max(100_000);
/** A 64-bit number as decimal text: JSON numbers end at 2⁵³. */
const u64 = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,19})$/)
  .refine((text) => BigInt(text) < 2n ** 64n, { message: 'expected a number below 2^64' });

export const ROLES = ['evaluate', 'mine', 'chat'] as const;
export type Role = (typeof ROLES)[number];

export const tensorRefSchema = z.strictObject({
  name: z.string(),
  dtype: z.enum(['F32', 'F16', 'BF16']),
  shape: z.array(z.number().int().positive()),
  hash: hex(32),
});
export type TensorRefMessage = z.infer<typeof tensorRefSchema>;

export const fromWorkerSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('hello'),
    protocol: z.number().int(),
    publicKey: hex(33),
    /** Enrolment token, needed the first time a key appears. */
    token: z.string().max(200).optional(),
    name: shown(60),
    software: shown(60),
    roles: z.array(z.enum(ROLES)).min(1).max(ROLES.length),
    backend: shown(40),
    threads: z.number().int().nonnegative(),
    /** Whom it works for, where its enrolment does not say; itself where neither does. */
    owner: ownerProofSchema.optional(),
    capabilities: capabilitiesSchema.optional(),
  }),
  z.strictObject({ type: z.literal('proof'), signature: hex(64) }),
  z.strictObject({
    type: z.literal('heartbeat'),
    hashesPerSecond: measured,
    tokensPerSecond: measured,
    rssBytes: measured,
    health: healthSchema.optional(),
  }),
  /** The worker can take one more lease of this role. */
  z.strictObject({ type: z.literal('ready'), role: z.enum(['evaluate', 'mine']) }),
  z.strictObject({
    type: z.literal('progress'),
    lease: id,
    done: z.number().int().nonnegative(),
    total: z.number().int().positive(),
  }),
  /** It has the losses, and shows their hash first: PROTOCOL §8. */
  z.strictObject({ type: z.literal('committed'), lease: id, commitment: hex(32) }),
  z.strictObject({
    type: z.literal('evaluated'),
    lease: id,
    /** Micro-nats per window, up to the look that decided; null where the loss is not finite. */
    base: losses,
    candidate: losses,
    nonce: hex(32),
    signature: hex(64),
    ms: measured,
    tokens: z.number().int().nonnegative(),
  }),
  z.strictObject({
    type: z.literal('failed'),
    lease: id,
    error: z.strictObject({ code: z.string(), message: z.string().max(2000), details: z.unknown() }),
  }),
  /** A nonce of the leased range that meets the lease's target. */
  z.strictObject({
    type: z.literal('share'),
    work: id,
    lease: id,
    nonce: u64,
    /** Time spent on the lease so far, milliseconds. */
    ms: measured,
  }),
  /** The range is searched, or given up: every share of it was sent before. */
  z.strictObject({
    type: z.literal('range'),
    work: id,
    lease: id,
    hashes: u64,
    /** Time spent grinding, milliseconds. */
    ms: measured,
  }),
  z.strictObject({
    type: z.literal('chat-token'),
    chat: id,
    text: z.string().max(10_000),
    /** Tokens that were made since the piece before; 1 where it is left out. */
    tokens: z.number().int().nonnegative().optional(),
  }),
  z.strictObject({
    type: z.literal('chat-done'),
    chat: id,
    tokens: z.number().int().nonnegative(),
    reason: z.enum(['stop', 'length', 'cancelled']),
    /** Tokens of the question as it was read. */
    promptTokens: z.number().int().nonnegative().optional(),
  }),
  z.strictObject({
    type: z.literal('chat-failed'),
    chat: id,
    error: z.strictObject({ code: z.string(), message: z.string().max(2000), details: z.unknown() }),
  }),
  /** It finishes what it holds, takes nothing more, and says goodbye then. */
  z.strictObject({ type: z.literal('drain') }),
  z.strictObject({ type: z.literal('goodbye') }),
]);
export type FromWorker = z.infer<typeof fromWorkerSchema>;

export const modelRefSchema = z.strictObject({
  /** Hash and payload hash of the Meta block. */
  meta: hex(32),
  metaPayload: hex(32),
  root: hex(32),
  tensors: z.array(tensorRefSchema),
});
export type ModelRef = z.infer<typeof modelRefSchema>;

const ruleSchema = z.strictObject({
  deltaMicroNats: z.number().int().nonnegative(),
  zMilli: z.number().int().nonnegative(),
  looks: z.array(z.number().int().positive()).min(1),
  hopelessZMilli: z.number().int().nonnegative(),
  clearZMilli: z.number().int().nonnegative().optional(),
});

/** Shards of the held-out part of the Meta block, one behind the other, each with its path to the root. */
const heldOutSchema = z.strictObject({
  root: hex(32),
  /** Number of the first one. */
  first: z.number().int().nonnegative(),
  shards: z.array(z.strictObject({ hash: hex(32), path: z.array(hex(32)) })).min(1),
});
export type HeldOutRef = z.infer<typeof heldOutSchema>;

export const toWorkerSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('challenge'),
    challenge: hex(32),
    network: hex(32),
    protocol: z.number(),
  }),
  z.strictObject({
    type: z.literal('welcome'),
    /** Bearer token for payloads that are not yet on the chain. */
    session: z.string(),
    heartbeatMs: z.number(),
    address: z.string(),
    /** Address that its work is paid to. */
    owner: z.string().optional(),
  }),
  /** What the operator wants of this worker; sent where it is not or no longer `active`. */
  z.strictObject({ type: z.literal('standing'), standing: z.enum(STANDINGS) }),
  /** The model at the head: chat workers swap to it between answers. */
  z.strictObject({ type: z.literal('head'), height: z.number().int(), model: modelRefSchema }),
  z.strictObject({
    type: z.literal('evaluate'),
    lease: id,
    submission: hex(32),
    head: hex(32),
    model: modelRefSchema,
    /** Tensors that the candidate has instead of the model's; empty when the head itself is measured. */
    changed: z.array(tensorRefSchema),
    candidateRoot: hex(32),
    /** In the order in which they are evaluated. */
    windows: z.array(z.number().int().nonnegative()),
    /** The gate, whose looks may end it early; null where every window is wanted. */
    rule: ruleSchema.nullable(),
    /** Where the windows are not of the public set but of these revealed shards. */
    heldOut: heldOutSchema.optional(),
  }),
  /** All that were asked have committed: the losses, please. */
  z.strictObject({ type: z.literal('reveal'), lease: id }),
  z.strictObject({
    type: z.literal('mine'),
    lease: id,
    work: id,
    /** 264 bytes; the nonce is overwritten. */
    header: hex(264),
    /** A hash that meets the target of `bits` too solves the block, and ends the range. */
    bits: z.number().int(),
    /** What a share must meet: a 256-bit number, never below the target of `bits`. */
    target: hex(32),
    start: u64,
    count: u64,
  }),
  /** Work of the worker stands in a log, on the disk; without a receipt it was a measurement that nobody pays. */
  z.strictObject({
    type: z.literal('credited'),
    lease: id.optional(),
    nonce: u64.optional(),
    receipt: receiptSchema.nullable(),
  }),
  /** The work (all its leases) or the evaluation lease is off. */
  z.strictObject({ type: z.literal('cancel'), id }),
  /** The question as the user sent it. */
  z.strictObject({ type: z.literal('chat'), chat: id, request: chatRequestSchema }),
  z.strictObject({ type: z.literal('chat-cancel'), chat: id }),
  z.strictObject({
    type: z.literal('error'),
    error: z.strictObject({ code: z.string(), message: z.string(), details: z.unknown() }),
  }),
]);
export type ToWorker = z.infer<typeof toWorkerSchema>;

/** Who of the two is behind, and what to do about it. */
export function versionsText({ pool, worker }: { pool: number; worker: number }): string {
  const versions = `the pool speaks version ${pool} of the protocol, this worker version ${worker}`;
  const mend =
    worker < pool
      ? 'update the worker (`git pull`, `npm ci`) and start it again'
      : 'check out the release that the pool runs, or ask its operator to update the pool';
  return `${versions}: ${mend}`;
}

/** One text frame → message; anything else is refused with MESSAGE. */
export function parseMessage<T>(schema: z.ZodType<T>, text: string): T {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new PoolError('MESSAGE', `expected a JSON message, got ${JSON.stringify(text.slice(0, 60))}`);
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new PoolError('MESSAGE', `message: ${firstIssue(parsed.error)}`);
}
