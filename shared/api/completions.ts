import { z } from 'zod';
import { type ChatRequest, chatRequestSchema } from '#shared/api/chat-schemas.ts';

/* `POST /v1/chat/completions`: the form that the clients of OpenAI's API speak, as far as this pool can serve it. */

const textPartSchema = z.strictObject({ type: z.literal('text'), text: z.string().max(20_000) });
const contentSchema = z
  .union([z.string().max(20_000), z.array(textPartSchema).max(100)])
  .transform((content) => (typeof content === 'string' ? content : content.map(({ text }) => text).join('')));
/** What we cannot do may be asked for only where it changes nothing. */
const zero = z.literal(0).nullish();
const questionSchema = z.strictObject(chatRequestSchema.shape);

export const completionRequestSchema = z
  .strictObject({
    /** Whatever it says, the model at the head answers. */
    model: z.string().max(200).optional(),
    messages: z
      .array(
        z.strictObject({
          role: z.enum(['system', 'developer', 'user', 'assistant']),
          content: contentSchema,
          name: z.string().max(100).optional(),
        }),
      )
      .min(1)
      .max(200),
    max_tokens: z.int().min(1).nullish(),
    max_completion_tokens: z.int().min(1).nullish(),
    temperature: questionSchema.shape.temperature.nullable(),
    top_p: questionSchema.shape.top_p.nullable(),
    stop: questionSchema.shape.stop.nullable(),
    seed: questionSchema.shape.seed.nullable(),
    stream: z.boolean().nullish(),
    stream_options: z.strictObject({ include_usage: z.boolean().optional() }).nullish(),
    // Beyond OpenAI's, as other servers of open models take them.
    top_k: questionSchema.shape.top_k,
    min_p: questionSchema.shape.min_p,
    repetition_penalty: questionSchema.shape.repetition_penalty,
    n: z.literal(1).nullish(),
    presence_penalty: zero,
    frequency_penalty: zero,
    logprobs: z.literal(false).nullish(),
    user: z.string().max(200).optional(),
  })
  .transform((request) => ({
    question: questionOf(request),
    stream: request.stream === true,
    includeUsage: request.stream_options?.include_usage === true,
  }));
export type CompletionRequest = z.infer<typeof completionRequestSchema>;

const MAX_TOKENS = 1024;

interface Asked {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly max_tokens?: number | null | undefined;
  readonly max_completion_tokens?: number | null | undefined;
  readonly [key: string]: unknown;
}

/** Clients ask for more tokens than any answer may have, and mean "as many as there are". */
function questionOf(asked: Asked): ChatRequest {
  const messages = asked.messages.map(({ role, content }) => {
    return { role: role === 'developer' ? 'system' : role, content };
  });
  const wanted = asked.max_completion_tokens ?? asked.max_tokens ?? MAX_TOKENS;
  const keys = ['temperature', 'top_k', 'top_p', 'min_p', 'repetition_penalty', 'stop', 'seed'] as const;
  const said = keys.filter((key) => asked[key] !== null && asked[key] !== undefined);
  return chatRequestSchema.parse({
    messages,
    max_tokens: Math.min(wanted, MAX_TOKENS),
    ...Object.fromEntries(said.map((key) => [key, asked[key]])),
  });
}
