import { setImmediate as nextTurn } from 'node:timers/promises';
import { must } from '#shared/errors/pool-error.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { sampleToken } from '#worker/chat/sample.ts';
import type { Part, Sequence } from '#worker/model/model.ts';

/** What generation needs of a model. */
export interface ChatModel {
  readonly config: { readonly context: number };
  newSequence(): Sequence;
  disposeSequence(sequence: Sequence): void;
  next(parts: readonly Part[]): Promise<Float32Array[]>;
}

export interface GenerateOptions {
  readonly maxTokens: number;
  /** 0 takes the likeliest token each time. */
  readonly temperature: number;
  /** Draw from the k likeliest tokens only. */
  readonly topK?: number;
  /** The same seed, prompt and weights give the same answer on the same machine. */
  readonly seed?: number;
  /** Tokens that end the answer; they are not yielded. */
  readonly stopTokens?: readonly number[];
  readonly signal?: AbortSignal;
}

/**
 * Yields the tokens that follow the prompt, one as it is made. Each step reads one token: keys and values of
 * those before are cached. Where the context is full, the older half is forgotten and the newer half is
 * read again, since learned positions do not let cached keys move. Of a prompt as long as the context or
 * longer, the end that leaves room for one token is read. Ends after `maxTokens` or at a stop token; an abort
 * rejects with the signal's reason before the next token. Other work of the process runs between tokens.
 */
export async function* generate(
  model: ChatModel,
  promptTokens: ArrayLike<number>,
  options: GenerateOptions,
): AsyncGenerator<number> {
  const { maxTokens, signal, stopTokens = [] } = options;
  must(promptTokens.length > 0, 'BAD_REQUEST', 'prompt: expected one token or more, got none');
  const uniform = seededUniform(options.seed ?? freshSeed());
  const context = model.config.context;
  const seen = lastOf(Array.from(promptTokens), context - 1);
  const sequence = model.newSequence();
  try {
    let unread = seen;
    for (let made = 0; made < maxTokens; made++) {
      signal?.throwIfAborted();
      if (sequence.length + unread.length > context) {
        sequence.length = 0;
        unread = lastOf(seen, Math.max(1, Math.floor(context / 2)));
        seen.splice(0, seen.length - unread.length);
      }
      const [logits] = await model.next([{ sequence, ids: unread }]);
      const token = sampleToken(logits!, { ...options, uniform });
      if (stopTokens.includes(token)) return;
      seen.push(token);
      unread = [token];
      yield token;
      await nextTurn();
    }
  } finally {
    model.disposeSequence(sequence);
  }
}

function lastOf(tokens: number[], count: number): number[] {
  return tokens.slice(-Math.max(1, count));
}

function freshSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}
