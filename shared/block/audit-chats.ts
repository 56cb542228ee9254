import type { JournalEntry } from '#shared/block/journal.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { chatAccount } from '#shared/reward/keyless-account.ts';

/**
 * PROTOCOL §16: what is reserved for a chat lies on the chats' account, is paid out of what was reserved for that
 * chat, never more, what comes back goes to who reserved it, and nothing else leaves this account. JOURNAL.
 */
export class ChatAudit {
  readonly #account: string;
  /** `ref` of a chat → who reserved, and what is left of it. */
  readonly #chats = new Map<string, { readonly account: string | null; left: bigint }>();

  constructor(networkId: Uint8Array) {
    this.#account = chatAccount(networkId);
  }

  append({ kind, ref, from, to, amount }: JournalEntry): void {
    const chat = toHex(ref);
    if (kind === 'chat-reserve') {
      must(to === this.#account, 'JOURNAL', `expected chat ${chat} to be reserved on ${this.#account}`);
      must(!this.#chats.has(chat), 'JOURNAL', `chat ${chat} is reserved twice`);
      this.#chats.set(chat, { account: from, left: amount });
      return;
    }
    const isOfChat = CHAT_KINDS.includes(kind);
    must(
      isOfChat === (from === this.#account),
      'JOURNAL',
      `only what settles a chat leaves ${this.#account}, and all of it; this is of kind ${kind}`,
    );
    if (!isOfChat) return;
    const reserved = this.#chats.get(chat);
    must(
      reserved && reserved.left >= amount,
      'JOURNAL',
      `chat ${chat} is settled for more than was reserved`,
    );
    must(
      kind !== 'chat-refund' || to === reserved.account,
      'JOURNAL',
      `chat ${chat} is refunded to ${to}, reserved was it by ${reserved.account}`,
    );
    reserved.left -= amount;
  }
}

const CHAT_KINDS: readonly string[] = ['chat-settle', 'chat-refund', 'royalty', 'fee'];
