import type { ChatEnd, ChatStage } from '#coordinator/chat/chat.ts';
import type { ChatFees } from '#coordinator/ledger/chat-fees.ts';
import type { PaidChatRequest } from '#shared/api/chat-schemas.ts';
import { utf8ToBytes } from '#shared/crypto/bytes.ts';

type OnText = (text: string) => void;

/**
 * Chats with their fees: nothing is asked of a worker before it is paid for, and whoever asked pays for the tokens
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
    onText: OnText,
    signal: AbortSignal,
  ): Promise<ChatEnd> {
    if (this.#fees.tokenUnits === 0n) return this.#chat.answer(request, ({ text }) => onText(text), signal);
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
    onText: OnText,
    signal: AbortSignal,
  ): Promise<ChatEnd> {
    const reservation = await this.#fees.reserve(payment, request.max_tokens);
    const bill = { tokens: 0, bytes: 0, worker: reservation.chat.account };
    // A worker that says it made more tokens than there are bytes of text is paid for the bytes.
    const settle = () =>
      this.#fees.settle(reservation, { ...bill, tokens: Math.min(bill.tokens, bill.bytes) });
    let end: ChatEnd;
    try {
      end = await this.#chat.answer(
        { ...request, max_tokens: reservation.tokens },
        ({ text, tokens, owner }) => {
          bill.tokens += tokens;
          bill.bytes += utf8ToBytes(text).length;
          bill.worker = owner;
          onText(text);
        },
        signal,
      );
    } catch (error) {
      await settle();
      throw error;
    }
    return { ...end, feeUnits: await settle() };
  }
}
