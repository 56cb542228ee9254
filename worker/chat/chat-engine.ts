import type { ChatRequest } from '#shared/api/chat-schemas.ts';
import type { ModelRef } from '#shared/protocol/worker.ts';
import { StreamDecoder } from '#shared/text/stream-decoder.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { type ModelDefaults, modelDefaults, samplingOf } from '#worker/chat/answer-settings.ts';
import { promptTokens } from '#worker/chat/prompt-tokens.ts';
import { sampleToken } from '#worker/chat/sampling.ts';
import { type BatchModel, type Made, Scheduler } from '#worker/chat/scheduler.ts';
import { type Piece, Speech } from '#worker/chat/speech.ts';
import { StopStrings } from '#worker/chat/stop-strings.ts';
import type { Sequence } from '#worker/model/model.ts';
import { type MetaView, ModelSlot } from '#worker/model/model-slot.ts';
import { TextThread } from '#worker/text/text-thread.ts';

export interface ModelWanted {
  readonly model: ModelRef;
  /** Opens payloads that are not yet on the chain. */
  readonly bearer: string;
}

export interface AnswerRequest extends ModelWanted {
  readonly question: ChatRequest;
}

/** Of a cancelled answer, the tokens of its question are not told. */
export interface Answered extends Made {
  readonly promptTokens?: number;
}

export interface AnswerContext {
  readonly signal: AbortSignal;
  emit(piece: Piece): void;
}

export interface ChatEngineOptions {
  readonly maxAnswers: number;
  readonly chunkTokens: number;
  /** Keys and values of all answers together; a quarter of the memory budget at most. */
  readonly cacheBytes: number;
  /** How long answers by older weights may hold up the new ones; then they end where they are. */
  readonly swapPatienceMs: number;
  /** Weights in memory at most; where it is left out, what the backend can take. */
  readonly memoryBudgetBytes?: number | undefined;
}

export const CHAT_ENGINE_DEFAULTS: ChatEngineOptions = {
  maxAnswers: 8,
  chunkTokens: 64,
  cacheBytes: 2 ** 30,
  swapPatienceMs: 30_000,
};

export interface ChatEngineDependencies {
  readonly payloads: ConstructorParameters<typeof ModelSlot>[0];
  readonly now: () => number;
}

const HURRY_MS = 100;

/** A model that is ready to answer. */
interface Shown {
  readonly root: string;
  readonly meta: MetaView;
  readonly text: TextThread;
  readonly defaults: ModelDefaults;
  readonly special: ReadonlySet<number>;
  /** Ids from here on stand for nothing: many models have more of them than their tokenizer, for round numbers. */
  readonly words: number;
  readonly scheduler: Scheduler<Sequence>;
}

/**
 * Answers questions with the model that each names, those of one model together. Weights are swapped between
 * answers, never within one: who asks for other weights waits for the answers before, for `swapPatienceMs` at
 * most, and who comes later waits behind. Lives in the chat process.
 */
export class ChatEngine {
  readonly #slot: ModelSlot;
  readonly #options: ChatEngineOptions;
  readonly #now: () => number;
  #shown: Shown | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** Answers that use the model that is shown. */
  readonly #working = new Set<Promise<void>>();

  constructor(options: ChatEngineOptions, { payloads, now }: ChatEngineDependencies) {
    this.#slot = new ModelSlot(payloads, { budgetBytes: options.memoryBudgetBytes });
    this.#options = options;
    this.#now = now;
  }

  /** Makes a model ready, so that the next answer need not wait for it. */
  async load(wanted: ModelWanted, signal: AbortSignal): Promise<void> {
    await Promise.race([this.#with(wanted, signal, async () => {}), aborted(signal)]);
    signal.throwIfAborted();
  }

  /**
   * Text goes to `emit` in pieces of whole characters. A cancelled answer resolves at once, and its next token
   * is not made.
   */
  async answer(request: AnswerRequest, context: AnswerContext): Promise<Answered> {
    const { signal } = context;
    const progress = { tokens: 0 };
    const cancelled = aborted(signal).then(() => ({ tokens: progress.tokens, reason: 'cancelled' }) as const);
    const made = this.#with(request, signal, (shown) => {
      return this.#answer(shown, request.question, { ...context, progress });
    });
    return Promise.race([
      cancelled,
      made.catch((error) => (signal.aborted ? cancelled : Promise.reject(error))),
    ]);
  }

  /** Ends the text thread and every answer. */
  async close(): Promise<void> {
    this.#shown?.scheduler.cutShort();
    await this.#shown?.text.close();
  }

  async #answer(
    { text, defaults, special, words, scheduler, meta }: Shown,
    question: ChatRequest,
    { signal, emit, progress }: AnswerContext & { readonly progress: { tokens: number } },
  ): Promise<Answered> {
    const { context } = meta.config;
    const room = context - Math.min(question.max_tokens, Math.floor(context / 2));
    const prompt = await promptTokens(text, question, room);
    const isSpecial = (id: number) => special.has(id);
    const decode = (ids: readonly number[]) => text.decode(ids);
    const decoder = new StreamDecoder({ decode, isSpecial }, question.prompt === undefined ? [] : prompt);
    const stops = new StopStrings([question.stop ?? []].flat());
    const speech = new Speech((event) => signal.aborted || emit(event), this.#now);
    const sampling = samplingOf(question, defaults);
    const uniform = seededUniform(question.seed ?? freshSeed());
    const made = await scheduler.answer({
      prompt,
      maxTokens: question.max_tokens,
      signal,
      choose: (logits, seen) => {
        const token = sampleToken(logits.subarray(0, words), { ...sampling, seen, uniform });
        return defaults.stopTokens.has(token) ? null : token;
      },
      take: async (token) => {
        progress.tokens += 1;
        speech.say(stops.push(await decoder.push(token)));
        return !stops.found;
      },
    });
    if (made.reason === 'cancelled') return made;
    speech.say(stops.push(await decoder.flush()), 0);
    speech.say(stops.end(), 0);
    speech.end();
    return { ...made, ...(stops.found && { reason: 'stop' }), promptTokens: prompt.length };
  }

  /** Models are changed one after another; what works with one of them does not wait for each other. */
  async #with<T>(wanted: ModelWanted, signal: AbortSignal, work: (shown: Shown) => Promise<T>): Promise<T> {
    const entered = this.#turn.then(async () => {
      const working = work(await this.#show(wanted, signal));
      const over: Promise<void> = working.then(
        () => this.#over(over),
        () => this.#over(over),
      );
      this.#working.add(over);
      return { working };
    });
    this.#turn = entered.catch(() => {});
    return (await entered).working;
  }

  #over(work: Promise<void>): void {
    this.#working.delete(work);
  }

  async #show(wanted: ModelWanted, signal: AbortSignal): Promise<Shown> {
    signal.throwIfAborted();
    const { root, metaPayload } = wanted.model;
    const current = this.#shown;
    if (current?.root === root && current.meta.payload === metaPayload) return current;
    if (current) await this.#drain(current.scheduler, signal);
    this.#shown = await this.#swap(wanted, signal);
    return this.#shown;
  }

  async #drain(scheduler: Scheduler<Sequence>, signal: AbortSignal): Promise<void> {
    const startedMs = this.#now();
    // Again and again, since an answer may yet be reading its question.
    const hurry = setInterval(() => {
      if (this.#now() - startedMs >= this.#options.swapPatienceMs) scheduler.cutShort();
    }, HURRY_MS);
    try {
      await Promise.race([Promise.all(this.#working), aborted(signal)]);
      signal.throwIfAborted();
      await scheduler.idle();
    } finally {
      clearInterval(hurry);
    }
  }

  async #swap({ model: ref, bearer }: ModelWanted, signal: AbortSignal): Promise<Shown> {
    const before = this.#shown;
    const { model, meta } = await this.#slot.show(ref, { bearer, signal });
    const {
      maxAnswers,
      chunkTokens,
      cacheBytes,
      memoryBudgetBytes = Number.POSITIVE_INFINITY,
    } = this.#options;
    const bytes = Math.min(cacheBytes, memoryBudgetBytes / 4);
    const maxCachedTokens = Math.floor(bytes / cacheBytesPerToken(meta));
    const limits = { maxAnswers, chunkTokens, maxCachedTokens };
    const scheduler = new Scheduler(model satisfies BatchModel<Sequence>, limits);
    const shown = { root: ref.root, meta, scheduler };
    if (before?.meta.payload === meta.payload) return { ...before, ...shown };
    await before?.text.close();
    // A model without its texts answers nothing: the next question tries again.
    this.#shown = undefined;
    return { ...shown, ...(await openTexts(meta)) };
  }
}

async function openTexts({
  manifest,
}: MetaView): Promise<Pick<Shown, 'text' | 'defaults' | 'special' | 'words'>> {
  const { tokenizer, tokenizer_config: tokenizerConfig, chat_template: chatTemplate } = manifest;
  const text = new TextThread({ tokenizer, tokenizerConfig, chatTemplate });
  const { endOfText, special, vocabSize } = await text.facts().catch(async (error) => {
    await text.close();
    throw error;
  });
  return { text, defaults: modelDefaults(manifest, endOfText), special: new Set(special), words: vocabSize };
}

/** Keys and values of all layers in float32. */
function cacheBytesPerToken({ config }: MetaView): number {
  const width = config.family === 'gpt2' ? config.width : config.kvHeads * config.headDim;
  return 2 * config.layers * width * Float32Array.BYTES_PER_ELEMENT;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function freshSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}
