import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { type JournalEntry, type JournalHead, linkEntries, type Move } from '#shared/block/journal.ts';
import {
  bigintFromBytes,
  concatBytes,
  readU64be,
  u64be,
  utf8ToBytes,
  ZERO_32,
} from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

export interface LedgerTotals {
  readonly minted: bigint;
  readonly burned: bigint;
}

/** What an append will write, and the state that holds once it is on disk. */
export interface PreparedEntries {
  readonly ops: readonly KvOp[];
  readonly entries: readonly JournalEntry[];
  readonly journal: JournalHead;
  readonly totals: LedgerTotals;
}

/**
 * Balances and the hash-linked journal that explains them. Whoever appends holds the store's write lock from
 * `prepare` to `apply`, and writes the ops in one durable batch with what causes them.
 */
export class Ledger {
  readonly #kv: KV;
  readonly #networkId: Uint8Array;
  #journal: JournalHead;
  #totals: LedgerTotals;
  #sums = true;

  private constructor(kv: KV, networkId: Uint8Array, state: { journal: JournalHead; totals: LedgerTotals }) {
    this.#kv = kv;
    this.#networkId = networkId;
    this.#journal = state.journal;
    this.#totals = state.totals;
  }

  /** Reads the journal's head and checks that all balances sum to what was minted less what was burned. */
  static async open(kv: KV, networkId: Uint8Array): Promise<Ledger> {
    const value = await kv.get(bucketKey(BUCKET.journalHead));
    const journal = value
      ? { seq: Number(readU64be(value)), head: value.slice(8, 40) }
      : { seq: 0, head: ZERO_32 };
    const totals = {
      minted: value ? bigintFromBytes(value.subarray(40, 72)) : 0n,
      burned: value ? bigintFromBytes(value.subarray(72, 104)) : 0n,
    };
    const ledger = new Ledger(kv, networkId, { journal, totals });
    must(await ledger.isBalanced(), 'JOURNAL', 'the balances do not sum to minted less burned');
    return ledger;
  }

  get journal(): JournalHead {
    return this.#journal;
  }

  get totals(): LedgerTotals {
    return this.#totals;
  }

  async balance(address: string): Promise<bigint> {
    const value = await this.#kv.get(bucketKey(BUCKET.balance, utf8ToBytes(address)));
    return value ? bigintFromBytes(value) : 0n;
  }

  /** What `isBalanced` last found. */
  get sums(): boolean {
    return this.#sums;
  }

  /** Σ balances = minted − burned. */
  async isBalanced(): Promise<boolean> {
    let sum = 0n;
    for await (const [, value] of this.#kv.entries(bucketRange(BUCKET.balance)))
      sum += bigintFromBytes(value);
    this.#sums = sum === this.#totals.minted - this.#totals.burned;
    return this.#sums;
  }

  /** Encoded entries from `from`, at most `limit`. */
  async entries(from: number, limit: number): Promise<Uint8Array[]> {
    const range = {
      gte: bucketKey(BUCKET.journalEntry, from),
      lt: bucketRange(BUCKET.journalEntry).lt,
      limit,
    };
    const out: Uint8Array[] = [];
    for await (const [, value] of this.#kv.entries(range)) out.push(value);
    return out;
  }

  /** Links the moves and computes the balances after them; AMOUNT where a balance would fall below zero. */
  async prepare(moves: readonly Move[], at: number): Promise<PreparedEntries> {
    const { entries, head } = linkEntries(this.#networkId, this.#journal, { moves, at });
    const balances = new Map<string, bigint>();
    const change = async (address: string, by: bigint) =>
      balances.set(address, (balances.get(address) ?? (await this.balance(address))) + by);
    let { minted, burned } = this.#totals;
    for (const { from, to, amount } of moves) {
      if (from === null) minted += amount;
      else await change(from, -amount);
      if (to === null) burned += amount;
      else await change(to, amount);
    }
    for (const [address, balance] of balances)
      must(balance >= 0n, 'AMOUNT', () => `the balance of ${address} would fall to ${balance}`);
    return {
      ops: [
        ...entries.map(({ entry, bytes }) => put(bucketKey(BUCKET.journalEntry, entry.seq), bytes)),
        ...[...balances].map(([address, b]) => put(bucketKey(BUCKET.balance, utf8ToBytes(address)), u256(b))),
        put(
          bucketKey(BUCKET.journalHead),
          concatBytes(u64be(head.seq), head.head, u256(minted), u256(burned)),
        ),
      ],
      entries: entries.map(({ entry }) => entry),
      journal: head,
      totals: { minted, burned },
    };
  }

  /** To be called when the ops of `prepare` are on disk. */
  apply(prepared: PreparedEntries): void {
    this.#journal = prepared.journal;
    this.#totals = prepared.totals;
  }
}

function u256(value: bigint): Uint8Array {
  const out = new Uint8Array(32);
  for (let i = 31, rest = value; rest > 0n; i--, rest >>= 8n) out[i] = Number(rest & 0xffn);
  return out;
}
