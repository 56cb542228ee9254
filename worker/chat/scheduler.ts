import { setImmediate as nextTurn } from 'node:timers/promises';
import { must } from '#shared/errors/pool-error.ts';

/** What generation needs of a model: sequences that go on, and one pass for several of them. */
export interface BatchModel<S extends { readonly length: number }> {
  readonly config: { readonly context: number; readonly vocabulary: number };
  newSequence(): S;
  disposeSequence(sequence: S): void;
  /** Appends ids to sequences; logits [V] after the last id of each. */
  next(parts: readonly { sequence: S; ids: readonly number[] }[]): Promise<Float32Array[]>;
}

export interface SchedulerOptions {
  /** Answers in one pass; more wait. */
  readonly maxAnswers: number;
  /** Tokens that all answers together may keep in their caches. One answer alone may always run. */
  readonly maxCachedTokens: number;
  /** Tokens of prompts in one turn: bounds how long others wait for their next token. */
  readonly chunkTokens: number;
}

export interface AnswerTask {
  /** One token or more. Where the context is shorter, its end is read. */
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  /** The next token by logits [V] after the tokens `seen`; null ends the answer. */
  choose(logits: Float32Array, seen: readonly number[]): number | null;
  /** Told of each token; false ends the answer behind it. */
  take(token: number): Promise<boolean>;
  readonly signal: AbortSignal;
}

export interface Made {
  readonly tokens: number;
  readonly reason: 'stop' | 'length' | 'cancelled';
}

/** An answer that waits or is being made. */
interface Answer<S> {
  readonly task: AnswerTask;
  /** Tokens of prompt and answer. */
  readonly seen: number[];
  /** Those of them that the model has yet to read. */
  unread: readonly number[];
  sequence: S | null;
  made: number;
  over: boolean;
  /** Ends the answer with its result or error. Its sequence is freed before the next pass. */
  readonly settle: (result: Made | Error) => void;
}

/**
 * Makes several answers at once that begin and end independently. In each turn the model makes the next token of
 * every answer in one pass, and reads some of the prompts, these one after another and in pieces of one length:
 * what is computed for an answer does not depend on the others. An aborted answer ends at once and takes part in no
 * further pass. Where its context is full, the older half is forgotten and the newer half is read again.
 */
export class Scheduler<S extends { readonly length: number }> {
  readonly #model: BatchModel<S>;
  readonly #options: SchedulerOptions;
  /** First come, first admitted; who has read a piece of a long prompt goes behind the others. */
  #answers: Answer<S>[] = [];
  #turning: Promise<void> = Promise.resolve();

  constructor(model: BatchModel<S>, options: SchedulerOptions) {
    this.#model = model;
    this.#options = options;
  }

  /** Rejects with BAD_REQUEST for a prompt that the model cannot read, or with what the model or the task throws. */
  answer(task: AnswerTask): Promise<Made> {
    const { context, vocabulary } = this.#model.config;
    must(task.prompt.length > 0, 'BAD_REQUEST', 'prompt: expected one token or more, got none');
    const strange = task.prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary);
    must(strange === undefined, 'BAD_REQUEST', () => `prompt: token ${strange} is not one of the model`);
    return new Promise((resolve, reject) => {
      const seen = task.prompt.slice(-Math.max(1, context - 1));
      const cancel = () => answer.settle({ tokens: answer.made, reason: 'cancelled' });
      const answer: Answer<S> = {
        task,
        seen,
        unread: [...seen],
        sequence: null,
        made: 0,
        over: false,
        settle: (result) => {
          if (answer.over) return;
          answer.over = true;
          task.signal.removeEventListener('abort', cancel);
          if (result instanceof Error) reject(result);
          else resolve(result);
        },
      };
      if (task.signal.aborted) return cancel();
      task.signal.addEventListener('abort', cancel, { once: true });
      this.#answers.push(answer);
      if (this.#answers.length === 1) this.#turning = this.#turning.then(() => this.#turn());
    });
  }

  /** Resolves when no answer is left and all sequences are freed. */
  async idle(): Promise<void> {
    await this.#turning;
  }

  /** Ends every answer where it is, as if it had been asked for no more tokens. */
  cutShort(): void {
    for (const answer of this.#answers) answer.settle({ tokens: answer.made, reason: 'length' });
  }

  async #turn(): Promise<void> {
    for (;;) {
      this.#sweep();
      if (this.#answers.length === 0) return;
      this.#admit();
      for (const parts of this.#plan()) await this.#pass(parts);
      // Cancellations and new answers come in between two passes.
      await nextTurn();
    }
  }

  #sweep(): void {
    for (const { over, sequence } of this.#answers)
      if (over && sequence !== null) this.#model.disposeSequence(sequence);
    this.#answers = this.#answers.filter(({ over }) => !over);
  }

  #admit(): void {
    const { maxAnswers, maxCachedTokens } = this.#options;
    const running = this.#answers.filter(({ sequence }) => sequence !== null);
    let count = running.length;
    let tokens = running.reduce((sum, answer) => sum + this.#tokensOf(answer), 0);
    for (const answer of this.#answers) {
      if (answer.sequence !== null) continue;
      tokens += this.#tokensOf(answer);
      if (count >= maxAnswers || (count > 0 && tokens > maxCachedTokens)) return;
      count += 1;
      try {
        answer.sequence = this.#model.newSequence();
      } catch (error) {
        answer.settle(asError(error));
      }
    }
  }

  /** What its cache may grow to. */
  #tokensOf({ task }: Answer<S>): number {
    return Math.min(this.#model.config.context, task.prompt.length + task.maxTokens);
  }

  /**
   * One pass for the next tokens of all, and one for each piece of a prompt: kernels for few rows and for many
   * sum in other orders, so rows of others in a pass that is not always small could change an answer.
   */
  #plan(): Part<S>[][] {
    const { chunkTokens } = this.#options;
    const tokens: Part<S>[] = [];
    const pieces: Part<S>[][] = [];
    let room = chunkTokens;
    for (const answer of this.#answers) {
      const { sequence, unread } = answer;
      if (sequence === null) continue;
      const part = { answer, sequence, ids: unread.slice(0, chunkTokens) };
      if (unread.length === 1) tokens.push(part);
      else if (part.ids.length <= room) {
        room -= part.ids.length;
        pieces.push([part]);
      }
    }
    return tokens.length > 0 ? [tokens, ...pieces] : pieces;
  }

  async #pass(parts: readonly Part<S>[]): Promise<void> {
    try {
      const logits = await this.#model.next(parts);
      await Promise.all(parts.map((part, i) => this.#advance(part, logits[i]!)));
    } catch (error) {
      for (const { answer } of parts) answer.settle(asError(error));
    }
  }

  async #advance({ answer, ids }: Part<S>, logits: Float32Array): Promise<void> {
    answer.unread = answer.unread.slice(ids.length);
    if (answer.over) return;
    if (answer.unread.length > 0) {
      this.#answers = [...this.#answers.filter((other) => other !== answer), answer];
      return;
    }
    try {
      await this.#choose(answer, logits);
    } catch (error) {
      answer.settle(asError(error));
    }
  }

  async #choose(answer: Answer<S>, logits: Float32Array): Promise<void> {
    const { task, seen } = answer;
    const token = task.choose(logits, seen);
    const tokens = answer.made;
    if (token === null) return answer.settle({ tokens, reason: 'stop' });
    answer.made += 1;
    seen.push(token);
    if (!(await task.take(token))) return answer.settle({ tokens: answer.made, reason: 'stop' });
    if (answer.made >= task.maxTokens) return answer.settle({ tokens: answer.made, reason: 'length' });
    answer.unread = [token];
    if (answer.sequence !== null && answer.sequence.length >= this.#model.config.context) this.#slide(answer);
  }

  /** Cached keys hold positions, so they cannot move: the newer half is read again. */
  #slide(answer: Answer<S>): void {
    const kept = Math.max(1, Math.floor(this.#model.config.context / 2));
    if (answer.sequence !== null) this.#model.disposeSequence(answer.sequence);
    answer.sequence = null;
    answer.sequence = this.#model.newSequence();
    answer.unread = answer.seen.slice(-kept);
  }
}

interface Part<S> {
  readonly answer: Answer<S>;
  readonly sequence: S;
  readonly ids: readonly number[];
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
