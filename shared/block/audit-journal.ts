import { ChatAudit } from '#shared/block/audit-chats.ts';
import {
  burns,
  decodeEntry,
  EMPTY_JOURNAL,
  entryDigest,
  type JournalEntry,
  type JournalHead,
  type JournalLink,
  mints,
} from '#shared/block/journal.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { parseAddress } from '#shared/crypto/keys.ts';
import { EMPTY_TREE, type GrowingTree, growTree, rootOfPeaks } from '#shared/crypto/merkle-tree.ts';
import { must } from '#shared/errors/pool-error.ts';

/**
 * Replays the journal entry after entry, from its encoded bytes, and keeps the balances it makes. PROTOCOL §10.
 * Money appears as a reward and by nothing else, goes away by a burn or a forfeit and by nothing else, and no balance
 * is ever below zero.
 */
export class JournalAudit {
  readonly #networkId: Uint8Array;
  #journal: JournalLink = EMPTY_JOURNAL;
  #tree: GrowingTree = EMPTY_TREE;
  #minted = 0n;
  #burned = 0n;
  readonly #balances = new Map<string, bigint>();
  readonly #chats: ChatAudit;

  constructor(networkId: Uint8Array) {
    this.#networkId = networkId;
    this.#chats = new ChatAudit(networkId);
  }

  /** Where the replay stands. The root is computed when it is asked for: few places of a journal are in a seal. */
  get journal(): JournalHead {
    const { peaks } = this.#tree;
    return {
      ...this.#journal,
      get root() {
        return rootOfPeaks(peaks);
      },
    };
  }

  get totals(): { readonly minted: bigint; readonly burned: bigint } {
    return { minted: this.#minted, burned: this.#burned };
  }

  /** Every address that was ever credited or debited. */
  get balances(): ReadonlyMap<string, bigint> {
    return this.#balances;
  }

  /** Checks the next entry and applies it. JOURNAL, BLOCK_ENCODING or ADDRESS where it breaks a rule. */
  append(bytes: Uint8Array): JournalEntry {
    const entry = decodeEntry(bytes);
    const { seq, head } = this.#journal;
    must(entry.seq === seq, 'JOURNAL', `expected entry ${seq}, got ${entry.seq}`);
    must(
      equalBytes(entry.prev, head),
      'JOURNAL',
      () => `expected it to follow ${toHex(head)}, got ${toHex(entry.prev)}`,
    );
    checkSides(entry);
    this.#chats.append(entry);
    this.#apply(entry);
    this.#tree = growTree(this.#tree, [bytes]).tree;
    this.#journal = { seq: seq + 1, head: entryDigest(this.#networkId, bytes) };
    return entry;
  }

  /** Compares the replay with what a pool says of its journal at the same place. JOURNAL where they differ. */
  checkAgainst(told: { journal: JournalHead; minted: bigint; burned: bigint }): void {
    const { journal } = told;
    const { seq, head, root } = this.journal;
    must(
      journal.seq === seq && equalBytes(journal.head, head),
      'JOURNAL',
      () => `expected ${seq} entries up to ${toHex(head)}, got ${journal.seq} up to ${toHex(journal.head)}`,
    );
    must(
      equalBytes(journal.root, root),
      'JOURNAL',
      () => `the Merkle root of the entries is ${toHex(root)}, the pool says ${toHex(journal.root)}`,
    );
    must(
      told.minted === this.#minted && told.burned === this.#burned,
      'JOURNAL',
      () =>
        `the entries mint ${this.#minted} and burn ${this.#burned}, the pool says ${told.minted} and ${told.burned}`,
    );
    const sum = [...this.#balances.values()].reduce((total, balance) => total + balance, 0n);
    must(
      sum === this.#minted - this.#burned,
      'JOURNAL',
      `the balances sum to ${sum}, expected minted less burned`,
    );
  }

  #apply({ from, to, amount }: JournalEntry): void {
    if (from === null) this.#minted += amount;
    else this.#change(from, -amount);
    if (to === null) this.#burned += amount;
    else this.#change(to, amount);
  }

  #change(address: string, by: bigint): void {
    const balance = (this.#balances.get(address) ?? 0n) + by;
    must(balance >= 0n, 'JOURNAL', () => `the balance of ${address} falls to ${balance}`);
    this.#balances.set(address, balance);
  }
}

function checkSides({ kind, from, to, amount }: JournalEntry): void {
  must(amount > 0n, 'JOURNAL', 'expected an amount above zero');
  must(from !== to, 'JOURNAL', 'expected two different sides');
  for (const address of [from, to])
    must(
      address === null || parseAddress(address) === address,
      'ADDRESS',
      () => `expected a checksummed address, got ${address}`,
    );
  must(
    (from === null) === mints(kind),
    'JOURNAL',
    `only rewards are minted, and all of them; this is of kind ${kind}`,
  );
  must(
    (to === null) === burns(kind),
    'JOURNAL',
    `only burns and forfeits leave the ledger, and all of them; this is of kind ${kind}`,
  );
}
