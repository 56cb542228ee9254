import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { WorkerListener, Workers } from '#coordinator/dispatch/workers.ts';
import type { ChatRequest } from '#shared/api/chat-schemas.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import type { FromWorker } from '#shared/protocol/worker.ts';

export interface ChatOptions {
  /** No token for this long: the answer ends with an error, or another worker is asked if none came yet. */
  readonly silenceMs: number;
  /** Answers at once per worker, which makes so many together; more wait for nobody: they are refused. */
  readonly maxPerWorker: number;
}

export const CHAT_DEFAULTS: ChatOptions = { silenceMs: 60_000, maxPerWorker: 8 };

export interface ChatEnd {
  readonly tokens: number;
  readonly reason: 'stop' | 'length' | 'cancelled';
  /** Tokens of the question, where the worker counted them. */
  readonly promptTokens?: number | undefined;
}

interface Answer {
  readonly id: string;
  readonly session: WorkerSession;
  readonly onText: (text: string) => void;
  readonly end: (result: ChatEnd | PoolError) => void;
  /** One for each token, and one for what was held back to the end. */
  readonly maxPieces: number;
  /** Delivered so far. */
  pieces: number;
  timer: NodeJS.Timeout | undefined;
}

/** The chat stage: hands a prompt to the chat worker that has least to do, and streams what it says. */
export class ChatStage implements WorkerListener {
  readonly #options: ChatOptions;
  readonly #workers: Workers;
  readonly #answers = new Map<string, Answer>();
  #count = 0;

  constructor(options: ChatOptions, workers: Workers) {
    this.#options = options;
    this.#workers = workers;
  }

  /**
   * Streams one answer into `onText`. A worker that is lost before its first token is replaced by another; afterwards
   * the error is the caller's. Each piece comes with the address that its worker works for. An abort ends generation and resolves with what was delivered.
   */
  async answer(
    request: ChatRequest,
    onText: (text: string, owner: string) => void,
    signal: AbortSignal,
  ): Promise<ChatEnd> {
    let delivered = false;
    const tried = new Set<WorkerSession>();
    for (;;) {
      const session = this.#choose(tried);
      tried.add(session);
      const result = await this.#ask(session, request, {
        signal,
        onText: (text) => {
          delivered = true;
          onText(text, session.owner);
        },
      });
      if (!(result instanceof PoolError)) return result;
      if (delivered || result.code !== 'UNAVAILABLE') throw result;
    }
  }

  onMessage(session: WorkerSession, message: FromWorker): void {
    if (message.type !== 'chat-token' && message.type !== 'chat-done' && message.type !== 'chat-failed')
      return;
    const answer = this.#answers.get(message.chat);
    if (!answer || answer.session !== session) return; // cancelled a moment ago
    if (message.type === 'chat-token') {
      if (++answer.pieces > answer.maxPieces) {
        session.send({ type: 'chat-cancel', chat: answer.id });
        answer.end(new PoolError('INTERNAL', 'the worker did not stop at the agreed length'));
        throw new PoolError('MESSAGE', `expected at most ${answer.maxPieces} pieces in ${answer.id}`);
      }
      this.#watch(answer);
      answer.onText(message.text);
    } else if (message.type === 'chat-done') {
      const { tokens, reason, promptTokens } = message;
      answer.end({ tokens, reason, promptTokens });
    } else answer.end(PoolError.fromObject(message.error));
  }

  onLost(session: WorkerSession): void {
    for (const answer of this.#answers.values())
      if (answer.session === session)
        answer.end(new PoolError('UNAVAILABLE', 'the worker that was answering is gone'));
  }

  #choose(tried: ReadonlySet<WorkerSession>): WorkerSession {
    const workers = this.#workers.withRole('chat').filter((session) => !tried.has(session));
    const [session] = workers.sort((a, b) => a.chats - b.chats);
    must(session, 'NO_WORKER', 'no worker that can chat is attached right now; try again in a moment');
    must(
      session.chats < this.#options.maxPerWorker,
      'TOO_MANY_REQUESTS',
      'every chat worker is busy; try again in a moment',
    );
    return session;
  }

  #ask(
    session: WorkerSession,
    request: ChatRequest,
    listener: { onText: (text: string) => void; signal: AbortSignal },
  ): Promise<ChatEnd | PoolError> {
    return new Promise((resolve) => {
      const id = `chat-${++this.#count}`;
      session.chats += 1;
      const cancel = () => {
        session.send({ type: 'chat-cancel', chat: id });
        answer.end({ tokens: answer.pieces, reason: 'cancelled' });
      };
      const answer: Answer = {
        id,
        session,
        onText: listener.onText,
        maxPieces: request.max_tokens + 1,
        pieces: 0,
        timer: undefined,
        end: (result) => {
          if (!this.#answers.delete(id)) return;
          session.chats -= 1;
          clearTimeout(answer.timer);
          listener.signal.removeEventListener('abort', cancel);
          resolve(result);
        },
      };
      this.#answers.set(id, answer);
      this.#watch(answer);
      if (listener.signal.aborted) return cancel();
      listener.signal.addEventListener('abort', cancel, { once: true });
      session.send({ type: 'chat', chat: id, request });
    });
  }

  #watch(answer: Answer): void {
    clearTimeout(answer.timer);
    answer.timer = setTimeout(() => {
      answer.session.send({ type: 'chat-cancel', chat: answer.id });
      answer.end(new PoolError('UNAVAILABLE', `the worker was silent for ${this.#options.silenceMs} ms`));
    }, this.#options.silenceMs);
  }
}
