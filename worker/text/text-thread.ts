import { Worker } from 'node:worker_threads';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { ChatMessage } from '#worker/text/chat-template.ts';
import type { ModelTexts, TextRequest, TokenizerFacts } from '#worker/text/text-work.ts';

export interface TextThreadOptions {
  /** Starting the thread and reading the tokenizer, the largest of which are 35 MB. */
  readonly openMs: number;
  /** One text, one rendering. */
  readonly workMs: number;
  /** V8's heap in the thread: the largest tokenizers take some hundred MiB. */
  readonly heapMiB: number;
}

export const TEXT_THREAD_DEFAULTS: TextThreadOptions = { openMs: 60_000, workMs: 5_000, heapMiB: 1_024 };

const THREAD_URL = new URL('./text-thread.mjs', import.meta.url);

/**
 * A model's tokenizer and chat template in a thread of their own, since they come from strangers. What takes too
 * long or too much memory fails alone, with TOKENIZER or CHAT_TEMPLATE: nothing of a request stays in the thread,
 * and the next one starts another. Requests are answered one after another.
 */
export class TextThread {
  readonly #texts: ModelTexts;
  readonly #options: TextThreadOptions;
  #turn: Promise<unknown> = Promise.resolve();
  #thread: Thread | undefined;
  #facts: TokenizerFacts | undefined;
  #closed = false;

  constructor(texts: ModelTexts, options: TextThreadOptions = TEXT_THREAD_DEFAULTS) {
    this.#texts = texts;
    this.#options = options;
  }

  async facts(): Promise<TokenizerFacts> {
    return this.#facts ?? (await this.#inTurn(async () => (await this.#open()).facts));
  }

  /** `addSpecial`: with the tokens that the tokenizer puts around a text, as at the beginning of a prompt. */
  encode(text: string, { addSpecial }: { readonly addSpecial: boolean }): Promise<number[]> {
    return this.#ask<number[]>({ kind: 'encode', text, addSpecial });
  }

  decode(ids: readonly number[]): Promise<string> {
    return this.#ask<string>({ kind: 'decode', ids });
  }

  /** The text that the model goes on from. */
  render(messages: readonly ChatMessage[]): Promise<string> {
    return this.#ask<string>({ kind: 'render', messages });
  }

  /** Ends the thread. What it was at, and what comes later, is refused with UNAVAILABLE. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#thread?.end(new PoolError('UNAVAILABLE', 'the text thread is closed'));
  }

  #ask<T>(request: TextRequest): Promise<T> {
    return this.#inTurn(async () => {
      const { thread } = await this.#open();
      return (await thread.ask(request, this.#options.workMs)) as T;
    });
  }

  async #open(): Promise<{ thread: Thread; facts: TokenizerFacts }> {
    if (this.#closed) throw new PoolError('UNAVAILABLE', 'the text thread is closed');
    if (this.#thread?.alive && this.#facts) return { thread: this.#thread, facts: this.#facts };
    const thread = new Thread(this.#options.heapMiB);
    this.#thread = thread;
    try {
      const request = { kind: 'open', texts: this.#texts } as const;
      this.#facts = (await thread.ask(request, this.#options.openMs)) as TokenizerFacts;
      return { thread, facts: this.#facts };
    } catch (error) {
      await thread.end();
      throw error;
    }
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(task);
    this.#turn = result.catch(() => {});
    return result;
  }
}

/** One life of the thread. It answers one request at a time, and ends with the first that it cannot answer. */
class Thread {
  alive = true;
  readonly #worker: Worker;
  #settle: ((result: { result: unknown } | { error: PoolError }) => void) | undefined;
  /** Code of a refusal of what is asked now. */
  #code: 'TOKENIZER' | 'CHAT_TEMPLATE' = 'TOKENIZER';

  constructor(heapMiB: number) {
    this.#worker = new Worker(THREAD_URL, {
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: heapMiB },
      // What a stranger's file makes a library print must not mix with our output.
      stdout: true,
      stderr: true,
    });
    this.#worker.unref();
    this.#worker.on('message', (message: { result: unknown } | { error: unknown }) => {
      this.#settle?.('error' in message ? { error: PoolError.fromObject(message.error) } : message);
    });
    this.#worker.on('error', (error) => void this.end(this.#stopped(error.message.slice(0, 200))));
    this.#worker.on('exit', () => void this.end(this.#stopped('its thread ended')));
  }

  async ask(request: TextRequest, deadlineMs: number): Promise<unknown> {
    this.#code = request.kind === 'render' ? 'CHAT_TEMPLATE' : 'TOKENIZER';
    const late = () => void this.end(this.#stopped(`it took longer than ${deadlineMs} ms`));
    // Keeps the process up while it waits: the thread itself does not.
    const deadline = setTimeout(late, deadlineMs);
    const answer = await new Promise<{ result: unknown } | { error: PoolError }>((resolve) => {
      this.#settle = resolve;
      this.#worker.postMessage(request);
    });
    clearTimeout(deadline);
    this.#settle = undefined;
    if ('error' in answer) throw answer.error;
    return answer.result;
  }

  async end(error = this.#stopped('its thread was ended')): Promise<void> {
    this.alive = false;
    this.#settle?.({ error });
    await this.#worker.terminate();
  }

  #stopped(why: string): PoolError {
    const what = this.#code === 'CHAT_TEMPLATE' ? 'chat template' : 'tokenizer';
    return new PoolError(this.#code, `the ${what} was stopped: ${why}`);
  }
}
