import { z } from 'zod';
import { epochSchema } from '#shared/api/epoch-schemas.ts';
import { ERRORS, type ErrorCode } from '#shared/errors/catalogue.ts';
import { SUBMISSION_STATES } from '#shared/lifecycle.ts';
import { adjustmentRequestSchema } from '#shared/protocol/adjustment.ts';
import { allowanceSchema } from '#shared/protocol/allowance.ts';
import { STANDINGS } from '#shared/protocol/standing.ts';

/** The public HTTP and WebSocket API: what comes in is checked against these, what goes out has their types. */

const hex32 = z.string().regex(/^[0-9a-f]{64}$/);
const stateSchema = z.enum(SUBMISSION_STATES as [string, ...string[]]);

export const errorBodySchema = z.strictObject({
  error: z.strictObject({
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    message: z.string(),
    details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  }),
});

const MAX_PROMPT_CHARS = 20_000;
/** A conversation of a few hours; what the model's context has no room for is left out, oldest first. */
const MAX_MESSAGES = 200;
const MAX_STOPS = 8;
const stopSchema = z.string().min(1).max(100);

export const chatMessageSchema = z.strictObject({
  role: z.enum(['system', 'user', 'assistant']),
  content: z.string().max(MAX_PROMPT_CHARS),
});
export type ChatMessage = z.infer<typeof chatMessageSchema>;

/** `POST /chat` and the one message a client sends on `/ws/chat`. */
export const chatRequestSchema = z
  .strictObject({
    /** Text that the model goes on from. */
    prompt: z.string().min(1).max(MAX_PROMPT_CHARS).optional(),
    /** A conversation, which the model's chat template writes down; instead of a prompt. */
    messages: z.array(chatMessageSchema).min(1).max(MAX_MESSAGES).optional(),
    max_tokens: z.int().min(1).max(1024).default(64),
    // What is left out is as the model's generation_config has it.
    temperature: z.number().min(0).max(5).optional(),
    /** 0 keeps all tokens. */
    top_k: z.int().min(0).max(1_048_576).optional(),
    top_p: z.number().min(0.001).max(1).optional(),
    min_p: z.number().min(0).max(1).optional(),
    repetition_penalty: z.number().min(0.1).max(10).optional(),
    /** The answer ends before the first of these. */
    stop: z.union([stopSchema, z.array(stopSchema).max(MAX_STOPS)]).optional(),
    seed: z.int().min(0).max(0xffffffff).optional(),
  })
  .refine(({ prompt, messages }) => (prompt === undefined) !== (messages === undefined), {
    error: 'expected either a prompt or messages',
  });
export type ChatRequest = z.infer<typeof chatRequestSchema>;

/** The same with what pays it, where the pool asks for a fee. */
export const paidChatRequestSchema = chatRequestSchema.safeExtend({ payment: allowanceSchema.optional() });
export type PaidChatRequest = z.infer<typeof paidChatRequestSchema>;

export const chatResponseSchema = z.strictObject({
  text: z.string(),
  tokens: z.number(),
  finish_reason: z.enum(['stop', 'length', 'cancelled']),
  /** Model root and B height that answered. */
  model_root: hex32,
  height: z.number(),
});
export type ChatResponse = z.infer<typeof chatResponseSchema>;

/** Messages of the coordinator on `/ws/chat`. */
export const chatEventSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('token'), text: z.string() }),
  z.strictObject({ type: z.literal('done'), ...chatResponseSchema.omit({ text: true }).shape }),
  z.strictObject({ type: z.literal('error'), ...errorBodySchema.shape }),
]);
export type ChatEvent = z.infer<typeof chatEventSchema>;

/** A whole number in a query: plain digits, where Number() would read '', ' 5', 0x5 and 5e0 too. */
export const digits = z
  .string()
  .regex(/^[0-9]{1,15}$/, 'expected digits')
  .transform(Number);

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

export const balanceSchema = z.strictObject({
  address: z.string(),
  /** Base units (10⁻⁸), as decimal text. */
  balance: z.string(),
});
export type BalanceView = z.infer<typeof balanceSchema>;

/** `GET /accounts/:address`; amounts are base units as decimal text. */
export const accountSchema = z.strictObject({
  ...balanceSchema.shape,
  /** Rewards that are not the account's yet. */
  vesting: z.string(),
  /** Parts below the minimum payout, which gather for it. */
  accrued: z.string(),
  /** Nonce of its next transfer. */
  nonce: z.string(),
});
export type AccountView = z.infer<typeof accountSchema>;

export const entriesQuerySchema = z.strictObject({
  /** Entries below this number; the newest ones when it is left out. */
  before: digits.optional(),
  limit: digits.pipe(z.number().min(1).max(1000)).default(100),
  format: z.enum(['json', 'csv']).default('json'),
});

/** An entry of the journal. */
export const entrySchema = z.strictObject({
  seq: z.number(),
  /** Unix milliseconds. */
  at: z.number(),
  kind: z.string(),
  /** What caused it: a submission, a transfer's digest. */
  ref: hex32,
  /** Null where it is minted. */
  from: z.string().nullable(),
  /** Null where it is burned. */
  to: z.string().nullable(),
  amount: z.string(),
  /** What the operator gave as the reason of an adjustment. */
  reason: z.string().optional(),
});
export type EntryView = z.infer<typeof entrySchema>;

export const entriesSchema = z.strictObject({
  address: z.string(),
  /** Newest first. */
  entries: z.array(entrySchema),
  /** `before` of the next page; null on the last. */
  next: z.number().nullable(),
});
export type EntriesView = z.infer<typeof entriesSchema>;

/** Answer of `POST /transfer`: it stands in the journal, on disk. */
export const transferSchema = z.strictObject({
  /** What was signed, and `ref` of the entry. */
  digest: hex32,
  entry: entrySchema,
});
export type TransferView = z.infer<typeof transferSchema>;

/** `GET /transfer/:digest`: all that was signed, so that anybody can check it. */
export const transferProofSchema = z.strictObject({
  ...transferSchema.shape,
  nonce: z.string(),
  expiry: z.string(),
  /** 65 bytes as 0x and hex. */
  signature: z.string(),
});
export type TransferProofView = z.infer<typeof transferProofSchema>;

/** `GET /chats/:ref`: what was reserved for a chat, and the allowance that its account signed for it. */
export const paidChatSchema = z.strictObject({
  ref: hex32,
  /** Digest of the allowance, and the number of this chat among those that it paid. */
  allowance: hex32,
  number: z.number(),
  reserved: z.string(),
  token_units: z.string(),
  signed: allowanceSchema,
});
export type PaidChatView = z.infer<typeof paidChatSchema>;

/** `POST /adjustments` and `GET /adjustments/:digest`: the entry, and what the operator signed for it. */
export const adjustmentSchema = z.strictObject({
  digest: hex32,
  entry: entrySchema,
  signed: adjustmentRequestSchema,
});
export type AdjustmentView = z.infer<typeof adjustmentSchema>;

export const readinessSchema = z.strictObject({
  ready: z.boolean(),
  checks: z.record(z.string(), z.strictObject({ ok: z.boolean(), detail: z.string() })),
});
export type Readiness = z.infer<typeof readinessSchema>;
