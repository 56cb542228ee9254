import { must } from '#shared/errors/pool-error.ts';
import type { ModelRef } from '#shared/protocol/worker.ts';
import { StreamDecoder } from '#shared/text/stream-decoder.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';
import { generate } from '#worker/chat/generate.ts';
import type { PayloadSource } from '#worker/client/payload-cache.ts';
import { type MetaView, ModelSlot } from '#worker/model/model-slot.ts';

export interface ModelWanted {
  readonly model: ModelRef;
  /** Opens payloads that are not yet on the chain. */
  readonly bearer: string;
}

export interface AnswerRequest extends ModelWanted {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed?: number | undefined;
}

export interface AnswerResult {
  readonly tokens: number;
  readonly reason: 'stop' | 'length' | 'cancelled';
}

export interface AnswerContext {
  readonly signal: AbortSignal;
  emit(event: { text: string }): void;
}

/**
 * A small model makes hundreds of tokens a second, more than anybody reads and more messages than a coordinator
 * takes: what comes within this time goes out together.
 */
const TOGETHER_MS = 25;

/** Hands text on in pieces: the first at once, the others not too often. */
class Speech {
  readonly #emit: AnswerContext['emit'];
  readonly #now: () => number;
  #held = '';
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(emit: AnswerContext['emit'], now: () => number) {
    this.#emit = emit;
    this.#now = now;
  }

  say(text: string): void {
    this.#held += text;
    if (this.#now() - this.#saidAt >= TOGETHER_MS) this.end();
  }

  end(): void {
    if (this.#held === '') return;
    this.#emit({ text: this.#held });
    this.#held = '';
    this.#saidAt = this.#now();
  }
}

/**
 * Answers prompts with the model it is asked for, one after another: weights are swapped between answers,
 * never within one. Lives in the chat process.
 */
export class ChatEngine {
  readonly #slot: ModelSlot;
  readonly #now: () => number;
  #turn: Promise<unknown> = Promise.resolve();
  #tokenizer: { meta: string; tokenizer: Tokenizer } | undefined;

  constructor(payloads: PayloadSource, now: () => number) {
    this.#slot = new ModelSlot(payloads);
    this.#now = now;
  }

  /** Makes a model ready, so that the next answer need not wait for it. */
  load(wanted: ModelWanted, signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      const { meta } = await this.#slot.show(wanted.model, { bearer: wanted.bearer, signal });
      this.#tokenizerOf(meta);
    });
  }

  /** Text goes to `emit` in pieces of whole characters. A cancelled answer ends before its next token. */
  answer(request: AnswerRequest, context: AnswerContext): Promise<AnswerResult> {
    return this.#inTurn(() => this.#answer(request, context));
  }

  async #answer(request: AnswerRequest, { signal, emit }: AnswerContext): Promise<AnswerResult> {
    let tokens = 0;
    try {
      signal.throwIfAborted();
      const { model, meta } = await this.#slot.show(request.model, { bearer: request.bearer, signal });
      const tokenizer = this.#tokenizerOf(meta);
      const decoder = new StreamDecoder(tokenizer);
      const speech = new Speech(emit, this.#now);
      for await (const token of generate(model, promptTokens(tokenizer, request.prompt), {
        maxTokens: request.maxTokens,
        temperature: request.temperature,
        ...(request.seed !== undefined && { seed: request.seed }),
        stopTokens: tokenizer.endOfText === null ? [] : [tokenizer.endOfText],
        signal,
      })) {
        tokens += 1;
        speech.say(decoder.push(token));
      }
      speech.say(decoder.flush());
      speech.end();
    } catch (error) {
      if (!signal.aborted) throw error;
      return { tokens, reason: 'cancelled' };
    }
    return { tokens, reason: tokens < request.maxTokens ? 'stop' : 'length' };
  }

  #tokenizerOf({ payload, manifest }: MetaView): Tokenizer {
    if (this.#tokenizer?.meta !== payload)
      this.#tokenizer = { meta: payload, tokenizer: Tokenizer.fromJson(manifest.tokenizer) };
    return this.#tokenizer.tokenizer;
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(task);
    this.#turn = result.catch(() => {});
    return result;
  }
}

function promptTokens(tokenizer: Tokenizer, prompt: string): number[] {
  const tokens = tokenizer.encode(prompt);
  must(tokens.length > 0, 'BAD_REQUEST', 'prompt: expected text that the tokenizer knows');
  return tokens;
}
