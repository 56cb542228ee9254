import type { ChatEnd, ChatStage } from '#coordinator/chat/chat.ts';
import type { ChatFees } from '#coordinator/ledger/chat-fees.ts';
import type { PaidChatRequest } from '#shared/api/chat-schemas.ts';

/**
 * Chats with their fees: nothing is asked of a worker before it is paid for, and whoever asked pays for the pieces
 * that came, however the answer ends. Where the Meta block asks for no fee, a payment is not looked at.
 */
export class PaidChat {
  readonly #chat: Pick<ChatStage, 'answer'>;
  readonly #fees: Pick<ChatFees, 'tokenUnits' | 'reserve' | 'settle'>;
  readonly #running = new Set<Promise<unknown>>();

  constructor(chat: Pick<ChatStage, 'answer'>, fees: Pick<ChatFees, 'tokenUnits' | 'reserve' | 'settle'>) {
    this.#chat = chat;
    this.#fees = fees;
  }

  async answer(
    { payment, ...request }: PaidChatRequest,
    onText: (text: string) => void,
    signal: AbortSignal,
  ): Promise<ChatEnd> {
    if (this.#fees.tokenUnits === 0n) return this.#chat.answer(request, onText, signal);
    const work = this.#billed({ payment, ...request }, onText, signal);
    this.#running.add(work);
    return work.finally(() => this.#running.delete(work));
  }

  /** Waits until the answers that were begun are billed. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  async #billed(
    { payment, ...request }: PaidChatRequest,
    onText: (text: string) => void,
    signal: AbortSignal,
  ): Promise<ChatEnd> {
    const reservation = await this.#fees.reserve(payment, request.max_tokens);
    const { tokens, chat } = reservation;
    let pieces = 0;
    let worker = chat.account;
    try {
      return await this.#chat.answer(
        { ...request, max_tokens: tokens },
        (text, owner) => {
          pieces += 1;
          worker = owner;
          onText(text);
        },
        signal,
      );
    } finally {
      await this.#fees.settle(reservation, { pieces, worker });
    }
  }
}
