import assert from 'node:assert/strict';
import type { JournalEntry } from '#shared/block/journal.ts';
import { toHex } from '#shared/crypto/bytes.ts';

/** Of a chat: what is reserved, and what becomes of it. */
const CHAT_KINDS: readonly string[] = ['chat-reserve', 'chat-settle', 'royalty', 'fee', 'chat-refund'];

/**
 * What a ledger should be, kept as simply as can be: balances in a map, and what happened once in sets. It believes
 * nothing that the ledger computes: it sees which entries there are, and says whether they may be.
 */
export class Oracle {
  readonly balances = new Map<string, bigint>();
  readonly nonces = new Map<string, bigint>();
  /** Transfer digest → number of its entry. */
  readonly transfers = new Map<string, number>();
  /** Submissions that were paid, with what each minted. */
  readonly paid = new Map<string, bigint>();
  /** Submission → what vests of it. */
  readonly vesting = new Map<string, { from: string; amount: bigint }>();
  readonly shares = new Set<string>();
  /** Chat → what of its reservation still lies there. */
  readonly chats = new Map<string, bigint>();
  minted = 0n;
  burned = 0n;
  /** Entries so far. */
  seq = 0;

  balance(address: string): bigint {
    return this.balances.get(address) ?? 0n;
  }

  nonce(address: string): bigint {
    return this.nonces.get(address) ?? 0n;
  }

  /** The next entry of the journal: every rule that it could break. */
  take(entry: JournalEntry): void {
    const { seq, kind, from, to, amount } = entry;
    assert.equal(seq, this.seq, 'an entry is missing, or stands there twice');
    assert.ok(amount > 0n, 'an entry moves nothing');
    if (from === null) this.minted += amount;
    else this.#add(from, -amount);
    if (to === null) this.burned += amount;
    else this.#add(to, amount);
    this.seq += 1;
    if (kind === 'transfer' || kind === 'burn') this.#transfer(entry);
    else if (kind.startsWith('reward-')) this.#reward(entry);
    else if (kind === 'vest') this.#vest(entry);
    else if (kind === 'release' || kind === 'forfeit') this.#settle(entry);
    else if (CHAT_KINDS.includes(kind)) this.#chat(entry);
  }

  /** Σ balances = minted − burned. */
  assertConserved(): void {
    const sum = [...this.balances.values()].reduce((total, balance) => total + balance, 0n);
    assert.equal(sum, this.minted - this.burned, 'money came or went');
  }

  #add(address: string, by: bigint): void {
    const balance = this.balance(address) + by;
    assert.ok(balance >= 0n, `the balance of ${address} falls to ${balance}`);
    this.balances.set(address, balance);
  }

  #transfer({ seq, from, ref }: JournalEntry): void {
    const id = toHex(ref);
    assert.ok(!this.transfers.has(id), `transfer ${id} was made twice`);
    this.transfers.set(id, seq);
    this.nonces.set(from as string, this.nonce(from as string) + 1n);
  }

  #reward({ ref, from, amount }: JournalEntry): void {
    assert.equal(from, null, 'a reward comes from somewhere');
    const id = toHex(ref);
    this.paid.set(id, (this.paid.get(id) ?? 0n) + amount);
  }

  #vest({ ref, from, amount }: JournalEntry): void {
    assert.ok(!this.vesting.has(toHex(ref)), 'a reward vests twice');
    this.vesting.set(toHex(ref), { from: from as string, amount });
  }

  #chat({ kind, ref, amount }: JournalEntry): void {
    const id = toHex(ref);
    const before = this.chats.get(id);
    if (kind === 'chat-reserve') assert.equal(before, undefined, 'a chat reserves twice');
    else assert.ok(before !== undefined && before >= amount, `${kind} of more than was reserved`);
    this.chats.set(id, kind === 'chat-reserve' ? amount : (before as bigint) - amount);
  }

  #settle({ kind, ref, to, amount }: JournalEntry): void {
    const vested = this.vesting.get(toHex(ref));
    assert.ok(vested, `${kind} of what does not vest`);
    assert.equal(amount, vested.amount, `${kind} of another amount`);
    assert.equal(to, kind === 'release' ? vested.from : null);
    this.vesting.delete(toHex(ref));
  }
}
