import { z } from 'zod';
import type { ChatRequest } from '#shared/api/chat-schemas.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import type { Sampling } from '#worker/chat/sampling.ts';

/** Where neither the question nor the model says anything. */
const POOL_DEFAULTS: Sampling = { temperature: 0.8, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

const number = (min: number, max: number) => z.number().min(min).max(max).optional().catch(undefined);
const ids = z
  .union([z.int(), z.array(z.int())])
  .nullish()
  .catch(undefined);
// A field that is none of these is as good as none: the file is a stranger's, and only says what is usual.
const generationSchema = z.looseObject({
  do_sample: z.boolean().optional().catch(undefined),
  temperature: number(0, 100),
  top_k: number(0, 2 ** 31),
  top_p: number(0.001, 1),
  min_p: number(0, 1),
  repetition_penalty: number(0.1, 100),
  eos_token_id: ids,
});
const configSchema = z.looseObject({ eos_token_id: ids });

/** How a model's answers are made where the question does not say it. */
export interface ModelDefaults {
  readonly sampling: Sampling;
  /** Each of them ends an answer. */
  readonly stopTokens: ReadonlySet<number>;
}

/** By the model's `generation_config.json`; stop tokens also by its `config.json` and its tokenizer. */
export function modelDefaults(
  { generation_config, config }: Pick<Manifest, 'generation_config' | 'config'>,
  endOfText: number | null,
): ModelDefaults {
  const file = read(generationSchema, generation_config);
  const stops = [file.eos_token_id, read(configSchema, config).eos_token_id, endOfText].flat();
  // transformers' own default where a model asks for sampling, or for none, and names no temperature.
  const usual = { true: 1, false: 0, undefined: POOL_DEFAULTS.temperature }[String(file.do_sample)] as number;
  return {
    sampling: {
      temperature: file.do_sample === false ? 0 : (file.temperature ?? usual),
      topK: file.top_k ?? POOL_DEFAULTS.topK,
      topP: file.top_p ?? POOL_DEFAULTS.topP,
      minP: file.min_p ?? POOL_DEFAULTS.minP,
      repetitionPenalty: file.repetition_penalty ?? POOL_DEFAULTS.repetitionPenalty,
    },
    stopTokens: new Set(stops.filter((id): id is number => typeof id === 'number')),
  };
}

/** What the question says, and else what the model says. */
export function samplingOf(question: ChatRequest, { sampling }: ModelDefaults): Sampling {
  return {
    temperature: question.temperature ?? sampling.temperature,
    topK: question.top_k ?? sampling.topK,
    topP: question.top_p ?? sampling.topP,
    minP: question.min_p ?? sampling.minP,
    repetitionPenalty: question.repetition_penalty ?? sampling.repetitionPenalty,
  };
}

function read<T>(schema: z.ZodType<T>, text: string | undefined): T {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '{}');
  } catch {
    value = {};
  }
  const parsed = schema.safeParse(value);
  return parsed.success ? parsed.data : schema.parse({});
}
