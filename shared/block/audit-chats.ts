import type { JournalEntry } from '#shared/block/journal.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { chatAccount } from '#shared/reward/keyless-account.ts';

/**
 * PROTOCOL §16: what is reserved for a chat lies on the chats' account, is paid out of what was reserved for that
 * chat, never more, and nothing else leaves this account. JOURNAL.
 */
export class ChatAudit {
  readonly #account: string;
  /** `ref` of a chat → what is left of its reservation. */
  readonly #left = new Map<string, bigint>();

  constructor(networkId: Uint8Array) {
    this.#account = chatAccount(networkId);
  }

  append({ kind, ref, from, to, amount }: JournalEntry): void {
    const chat = toHex(ref);
    if (kind === 'chat-reserve') {
      must(to === this.#account, 'JOURNAL', `expected chat ${chat} to be reserved on ${this.#account}`);
      must(!this.#left.has(chat), 'JOURNAL', `chat ${chat} is reserved twice`);
      this.#left.set(chat, amount);
      return;
    }
    const isOfChat = CHAT_KINDS.includes(kind);
    must(
      isOfChat === (from === this.#account),
      'JOURNAL',
      `only what settles a chat leaves ${this.#account}, and all of it; this is of kind ${kind}`,
    );
    if (!isOfChat) return;
    const left = (this.#left.get(chat) ?? 0n) - amount;
    must(left >= 0n, 'JOURNAL', `chat ${chat} is settled for more than was reserved`);
    this.#left.set(chat, left);
  }
}

const CHAT_KINDS: readonly string[] = ['chat-settle', 'chat-refund', 'royalty', 'fee'];
