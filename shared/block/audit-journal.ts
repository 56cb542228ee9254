import { decodeEntry, entryDigest, type JournalEntry, type JournalHead } from '#shared/block/journal.ts';
import { equalBytes, toHex, ZERO_32 } from '#shared/crypto/bytes.ts';
import { parseAddress } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';

/**
 * Replays the journal entry after entry, from its encoded bytes, and keeps the balances it makes. PROTOCOL §10.
 * Money appears as a reward and by nothing else, goes away by a burn and by nothing else, and no balance is ever
 * below zero.
 */
export class JournalAudit {
  readonly #networkId: Uint8Array;
  #journal: JournalHead = { seq: 0, head: ZERO_32 };
  #minted = 0n;
  #burned = 0n;
  readonly #balances = new Map<string, bigint>();

  constructor(networkId: Uint8Array) {
    this.#networkId = networkId;
  }

  /** Where the replay stands. */
  get journal(): JournalHead {
    return this.#journal;
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
    this.#apply(entry);
    this.#journal = { seq: seq + 1, head: entryDigest(this.#networkId, bytes) };
    return entry;
  }

  /** Compares the replay with what a pool says of its journal at the same place. JOURNAL where they differ. */
  checkAgainst(told: { journal: JournalHead; minted: bigint; burned: bigint }): void {
    const { journal } = told;
    must(
      journal.seq === this.#journal.seq && equalBytes(journal.head, this.#journal.head),
      'JOURNAL',
      () =>
        `expected ${this.#journal.seq} entries up to ${toHex(this.#journal.head)}, got ${journal.seq} up to ${toHex(journal.head)}`,
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
    (from === null) === kind.startsWith('reward-'),
    'JOURNAL',
    `only rewards are minted, and all of them; this is of kind ${kind}`,
  );
  must(
    (to === null) === (kind === 'burn'),
    'JOURNAL',
    `only burns leave the ledger, and all of them; this is of kind ${kind}`,
  );
}
