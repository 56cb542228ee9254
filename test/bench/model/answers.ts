import { toTokenizerJson, trainBpe } from '#shared/text/bpe-trainer.ts';
import { StreamDecoder } from '#shared/text/stream-decoder.ts';
import { seededUniform } from '#shared/weights/random.ts';
import type { Bench } from '#test/bench/model/section.ts';
import { benchWeights, GPT_12M, gptConfig, millions, seconds } from '#test/bench/model/shapes.ts';
import { randomIds } from '#test/helpers/tensors.ts';
import { CHAT_ENGINE_DEFAULTS } from '#worker/chat/chat-engine.ts';
import { sampleToken } from '#worker/chat/sampling.ts';
import { Scheduler } from '#worker/chat/scheduler.ts';
import { Model } from '#worker/model/model.ts';
import { ResidentWeights } from '#worker/model/weight-set.ts';
import { TextThread } from '#worker/text/text-thread.ts';

const ANSWERS = 8;
const TOKENS = 48;
const PROMPT = 16;
const ROUNDS = 3;
const SAMPLING = { temperature: 0.8, topK: 50, topP: 0.9, minP: 0, repetitionPenalty: 1.1 };

/** Answers as the chat process makes them, with sampling and text from the thread, against the bare passes. */
export async function rows({ row }: Bench): Promise<void> {
  // Every id of the tokenizer is one of the model.
  const tokenizer = toTokenizerJson(trainBpe([randomWords()], GPT_12M.vocabulary));
  const vocabulary = Object.keys((JSON.parse(tokenizer) as { model: { vocab: object } }).model.vocab).length;
  const config = gptConfig({ ...GPT_12M, vocabulary });
  const model = new Model(config, await ResidentWeights.load(config, benchWeights(config)));
  const text = new TextThread({ tokenizer, chatTemplate: '' });
  await text.facts();
  const best = { bare: 0, answers: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    best.bare = Math.max(best.bare, await barePasses(model));
    best.answers = Math.max(best.answers, await answers(model, text));
  }
  await text.close();
  model.dispose();
  row({
    metric: `${ANSWERS} answers of ${TOKENS} tokens, ${millions(config)}`,
    value: best.answers,
    unit: 'tokens/s',
    anchor: { name: 'the same passes alone', value: best.bare },
  });
}

function randomWords(): string {
  const ids = randomIds(40_000, 1, 26);
  return Array.from(ids, (id, i) => String.fromCharCode(97 + id) + (i % 5 === 4 ? ' ' : '')).join('');
}

const prompt = (k: number, vocabulary: number) => [...randomIds(PROMPT, k + 1, vocabulary)];

async function barePasses(model: Model): Promise<number> {
  const sequences = Array.from({ length: ANSWERS }, () => model.newSequence());
  const { vocabulary } = model.config;
  const took = await seconds(async () => {
    for (const [k, sequence] of sequences.entries()) {
      await model.next([{ sequence, ids: prompt(k, vocabulary) }]);
    }
    for (let i = 1; i < TOKENS; i++) await model.next(sequences.map((sequence) => ({ sequence, ids: [i] })));
  });
  for (const sequence of sequences) model.disposeSequence(sequence);
  return (ANSWERS * TOKENS) / took;
}

async function answers(model: Model, text: TextThread): Promise<number> {
  const scheduler = new Scheduler(model, { ...CHAT_ENGINE_DEFAULTS, maxCachedTokens: 100_000 });
  const took = await seconds(() =>
    Promise.all(
      Array.from({ length: ANSWERS }, (_, k) => {
        const uniform = seededUniform(k);
        const decoder = new StreamDecoder({ decode: (ids) => text.decode(ids), isSpecial: () => false });
        return scheduler.answer({
          prompt: prompt(k, model.config.vocabulary),
          maxTokens: TOKENS,
          choose: (logits, seen) => sampleToken(logits, { ...SAMPLING, seen, uniform }),
          take: async (token) => {
            await decoder.push(token);
            return true;
          },
          signal: new AbortController().signal,
        });
      }),
    ),
  );
  await scheduler.idle();
  return (ANSWERS * TOKENS) / took;
}
