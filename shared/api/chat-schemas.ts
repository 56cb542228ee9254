import { z } from 'zod';
import { errorBodySchema, hex32 } from '#shared/api/common-schemas.ts';
import { allowanceSchema } from '#shared/protocol/allowance.ts';

/** Chats: over HTTP and over `/ws/chat`. */

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
  /** What it cost, base units, where chats cost anything. */
  fee_units: z.string().optional(),
});
export type ChatResponse = z.infer<typeof chatResponseSchema>;

/** Messages of the coordinator on `/ws/chat`. */
export const chatEventSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('token'), text: z.string() }),
  z.strictObject({ type: z.literal('done'), ...chatResponseSchema.omit({ text: true }).shape }),
  z.strictObject({ type: z.literal('error'), ...errorBodySchema.shape }),
]);
export type ChatEvent = z.infer<typeof chatEventSchema>;
