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
  /** Base units that it cost, where chats cost anything. */
  readonly feeUnits?: bigint | undefined;
}

/** What an answer cost, as clients are told. */
export const feeOf = ({ feeUnits }: ChatEnd): { fee_units?: string } =>
  feeUnits === undefined ? {} : { fee_units: feeUnits.toString() };

/** Text of an answer as it comes. */
export interface ChatPiece {
  readonly text: string;
  /** Tokens that it took, as its worker says. */
  readonly tokens: number;
  /** Whom the worker works for. */
  readonly owner: string;
}

interface Answer {
  readonly id: string;
  readonly session: WorkerSession;
  readonly onPiece: (piece: Pick<ChatPiece, 'text' | 'tokens'>) => void;
  readonly end: (result: ChatEnd | PoolError) => void;
  readonly maxTokens: number;
  /** Delivered so far; a worker may send one piece for each token, and one for what was held back to the end. */
  pieces: number;
  tokens: number;
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
   * Streams one answer into `onPiece`. A worker that is lost before its first token is replaced by another; afterwards
   * the error is the caller's. An abort ends generation and resolves with what was delivered.
   */
  async answer(
    request: ChatRequest,
    onPiece: (piece: ChatPiece) => void,
    signal: AbortSignal,
  ): Promise<ChatEnd> {
    let delivered = false;
    const tried = new Set<WorkerSession>();
    for (;;) {
      const session = this.#choose(tried);
      tried.add(session);
      const result = await this.#ask(session, request, {
        signal,
        onPiece: (piece) => {
          delivered = true;
          onPiece({ ...piece, owner: session.owner });
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
      const { text, tokens = 1 } = message;
      const { id, maxTokens } = answer;
      answer.pieces += 1;
      if (answer.pieces > maxTokens + 1 || answer.tokens + tokens > maxTokens + 1) {
        session.send({ type: 'chat-cancel', chat: id });
        answer.end(new PoolError('INTERNAL', 'the worker did not stop at the agreed length'));
        throw new PoolError('MESSAGE', `expected at most ${maxTokens} tokens in ${id}`);
      }
      answer.tokens = Math.min(maxTokens, answer.tokens + tokens);
      this.#watch(answer);
      answer.onPiece({ text, tokens });
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
    listener: { onPiece: Answer['onPiece']; signal: AbortSignal },
  ): Promise<ChatEnd | PoolError> {
    return new Promise((resolve) => {
      const id = `chat-${++this.#count}`;
      session.chats += 1;
      const cancel = () => {
        session.send({ type: 'chat-cancel', chat: id });
        answer.end({ tokens: answer.tokens, reason: 'cancelled' });
      };
      const answer: Answer = {
        id,
        session,
        onPiece: listener.onPiece,
        maxTokens: request.max_tokens,
        pieces: 0,
        tokens: 0,
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
