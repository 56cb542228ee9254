import { PoolError } from '#shared/errors/pool-error.ts';
import type { ModelRef, ToWorker } from '#shared/protocol/worker.ts';
import type { Answered } from '#worker/chat/chat-engine.ts';
import type { Piece } from '#worker/chat/speech.ts';
import type { Session, Work } from '#worker/client/connection.ts';
import type { Log } from '#worker/log.ts';
import type { ProcessHost } from '#worker/process/host.ts';
import type { Send, WorkRole } from '#worker/runner.ts';

type ChatMessage = Extract<ToWorker, { type: 'chat' }>;

/** Time for those before it, for the model to load, and for the answer, which ends then where it is. */
const ANSWER_DEADLINE_MS = 300_000;
/** A process that has not ended the answer by then is ended itself, with all its answers. */
const STUCK_MS = ANSWER_DEADLINE_MS + 30_000;
const LOAD_DEADLINE_MS = 600_000;
/** Who comes after so many gets a refusal now instead of an answer much later. */
const MAX_WAITING = 16;

export interface ChatRoleDependencies {
  readonly host: Pick<ProcessHost, 'request' | 'close'>;
  readonly send: Send;
  readonly log: Log;
  /** Runs a computation with everything less urgent held back. */
  during<T>(compute: () => Promise<T>): Promise<T>;
}

/** Answers chats with the model of the newest head it was told of. */
export class ChatRole implements WorkRole {
  readonly #deps: ChatRoleDependencies;
  /** By chat id. */
  readonly #running = new Map<string, AbortController>();
  #session: Session | undefined;
  #head: ModelRef | undefined;
  #loading = new AbortController();

  constructor(deps: ChatRoleDependencies) {
    this.#deps = deps;
  }

  /** Answers that are being written or wait. */
  get unfinished(): number {
    return this.#running.size;
  }

  connected(session: Session): void {
    this.#session = session;
  }

  message(message: Work): void {
    if (message.type === 'head') void this.#load(message.model);
    if (message.type === 'chat') void this.#chat(message);
    if (message.type === 'chat-cancel') this.#running.get(message.chat)?.abort();
  }

  disconnected(): void {
    this.#session = undefined;
    this.#loading.abort();
    for (const abort of this.#running.values()) abort.abort();
    this.#running.clear();
  }

  async close(): Promise<void> {
    this.disconnected();
    await this.#deps.host.close();
  }

  /** Ahead of the first question. Where it fails, the question will tell. */
  async #load(model: ModelRef): Promise<void> {
    this.#head = model;
    this.#loading.abort();
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    try {
      const request = { kind: 'load', model, bearer: this.#session?.bearer ?? '' };
      await this.#deps.host.request({ request, signal, deadlineMs: LOAD_DEADLINE_MS });
      this.#deps.log.debug('the chat model is loaded', { root: model.root.slice(0, 12) });
    } catch (error) {
      if (!signal.aborted) this.#deps.log.warn('the head could not be loaded', { why: String(error) });
    }
  }

  async #chat(message: ChatMessage): Promise<void> {
    const session = this.#session;
    if (!session) return;
    const { chat } = message;
    const abort = new AbortController();
    this.#running.set(chat, abort);
    const deadline = setTimeout(() => abort.abort(), ANSWER_DEADLINE_MS).unref();
    try {
      const result = await this.#answer(message, session, abort.signal);
      this.#reply(session, { type: 'chat-done', chat, ...result });
    } catch (cause) {
      const error = PoolError.from(cause);
      this.#reply(session, { type: 'chat-failed', chat, error: error.toObject() });
    } finally {
      clearTimeout(deadline);
      if (this.#running.get(chat) === abort) this.#running.delete(chat);
    }
  }

  #answer(message: ChatMessage, session: Session, signal: AbortSignal): Promise<Answered> {
    const { chat, request: question } = message;
    const model = this.#head;
    if (!model) throw new PoolError('UNAVAILABLE', 'this worker has not been told of a head yet');
    if (this.#running.size > MAX_WAITING)
      throw new PoolError('TOO_MANY_REQUESTS', `more than ${MAX_WAITING} chats wait at this worker`);
    const request = { kind: 'answer', model, bearer: session.bearer, question };
    const onEvent = (event: unknown) => {
      const { text, tokens } = event as Piece;
      if (!signal.aborted) this.#reply(session, { type: 'chat-token', chat, text, tokens });
    };
    const { host, during } = this.#deps;
    return during(
      () => host.request({ request, signal, onEvent, deadlineMs: STUCK_MS }) as Promise<Answered>,
    );
  }

  /** Only within the session of the question. */
  #reply(session: Session, message: Parameters<Send>[0]): void {
    if (session === this.#session) this.#deps.send(message);
  }
}
