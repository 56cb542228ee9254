import { setImmediate } from 'node:timers/promises';
import { accountEntries, entryIndexOps, indexMissing } from '#coordinator/ledger/account-entries.ts';
import { addUp } from '#coordinator/ledger/add-up.ts';
import { type AdjustmentRecord, readAdjustment } from '#coordinator/ledger/adjustment-records.ts';
import { BalanceGuard } from '#coordinator/ledger/balance-guard.ts';
import { type PaidChatRecord, readPaidChat } from '#coordinator/ledger/chat-records.ts';
import { growJournalTree, journalPath, openJournalTree } from '#coordinator/ledger/journal-tree.ts';
import { nativeSha256 } from '#coordinator/ledger/native-sha256.ts';
import { readTransfer, type TransferRecord } from '#coordinator/ledger/transfer-records.ts';
import { allVested, vestedOf, vestingOps } from '#coordinator/ledger/vesting.ts';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import {
  type JournalEntry,
  type JournalHead,
  type JournalLink,
  linkEntries,
  type Move,
} from '#shared/block/journal.ts';
import { bigintFromBytes, concatBytes, readU64be, u64be, u256be, ZERO_32 } from '#shared/crypto/bytes.ts';
import { type GrowingTree, rootOfPeaks } from '#shared/crypto/merkle-tree.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { Vested } from '#shared/reward/vested.ts';

export interface LedgerTotals {
  readonly minted: bigint;
  /** All that left the ledger, with what was forfeited. */
  readonly burned: bigint;
  readonly forfeited: bigint;
}

/** The journal and its totals at one moment. */
export interface LedgerPosition {
  readonly journal: JournalHead;
  readonly totals: LedgerTotals;
}

/** Balances by address. */
export type Balances = ReadonlyMap<string, bigint>;

/** What an append will write, and the state that holds once it is on disk. */
export interface PreparedEntries {
  readonly ops: readonly KvOp[];
  readonly entries: readonly JournalEntry[];
  readonly state: LedgerState;
  /** Balances of the accounts that are moved. */
  readonly after: Balances;
}

interface LedgerState {
  readonly journal: JournalLink;
  readonly tree: GrowingTree;
  readonly totals: LedgerTotals;
  /** Σ balances. */
  readonly sum: bigint;
}

/**
 * Balances and the hash-linked journal that explains them. Whoever appends holds the store's write lock from
 * `prepare` to `apply`, and writes the ops in one durable batch with what causes them.
 */
export class Ledger {
  readonly #kv: KV;
  readonly #networkId: Uint8Array;
  /** Tells whether money appeared or vanished. */
  readonly guard = new BalanceGuard();
  #state: LedgerState;

  private constructor(kv: KV, networkId: Uint8Array, state: LedgerState) {
    this.#kv = kv;
    this.#networkId = networkId;
    this.#state = state;
  }

  /** Reads the journal's head and adds up all balances: where they are wrong, nothing is paid. */
  static async open(kv: KV, networkId: Uint8Array): Promise<Ledger> {
    const value = await kv.get(bucketKey(BUCKET.journalHead));
    const journal = value
      ? { seq: Number(readU64be(value)), head: value.slice(8, 40) }
      : { seq: 0, head: ZERO_32 };
    const { sum, minted, burned } = await addUp(kv);
    const totals = { minted, burned, forfeited: 0n };
    const tree = await openJournalTree(kv, journal.seq);
    const ledger = new Ledger(kv, networkId, { journal, tree, totals, sum });
    ledger.guard.sum(sum, totals);
    await indexMissing(kv, journal.seq);
    const forfeited = await ledger.forfeitedBetween(0, journal.seq);
    ledger.#state = { ...ledger.#state, totals: { ...totals, forfeited } };
    return ledger;
  }

  get journal(): JournalHead {
    const { journal, tree } = this.#state;
    return { ...journal, root: rootOfPeaks(tree.peaks) };
  }

  get totals(): LedgerTotals {
    return this.#state.totals;
  }

  /** Journal and totals of the same moment. */
  get position(): LedgerPosition {
    return { journal: this.journal, totals: this.totals };
  }

  /** Base units that entries from number `from` up to below `to` forfeited. */
  async forfeitedBetween(from: number, to: number): Promise<bigint> {
    const range = { gte: bucketKey(BUCKET.forfeit, from), lt: bucketKey(BUCKET.forfeit, to) };
    let sum = 0n;
    for await (const [, amount] of this.#kv.entries(range)) sum += bigintFromBytes(amount);
    return sum;
  }

  /** False once money was found to have appeared or vanished: then nothing is moved any more. */
  get sums(): boolean {
    return this.guard.fault === undefined;
  }

  async balance(address: string): Promise<bigint> {
    return (await this.balances([address])).get(address) as bigint;
  }

  async balances(addresses: Iterable<string>): Promise<Balances> {
    const list = [...new Set(addresses)];
    const values = await this.#kv.getMany(list.map(balanceKey));
    return new Map(list.map((address, i) => [address, bigintFromBytes(values[i] ?? ZERO_32)]));
  }

  /** Number of transfers an account has made: the nonce of its next one. */
  async nonce(address: string): Promise<bigint> {
    const value = await this.#kv.get(bucketKey(BUCKET.accountNonce, address));
    return value ? readU64be(value) : 0n;
  }

  /** What the operator signed for an entry of kind `adjustment`, by its `ref`. */
  adjustment(digest: Uint8Array): Promise<AdjustmentRecord | undefined> {
    return readAdjustment(this.#kv, digest);
  }

  /** What its sender signed for an entry of kind `transfer`, by its `ref`. */
  transfer(digest: Uint8Array): Promise<TransferRecord | undefined> {
    return readTransfer(this.#kv, digest);
  }

  /** A chat that was paid for, by the `ref` of its entries. */
  paidChat(ref: Uint8Array): Promise<PaidChatRecord | undefined> {
    return readPaidChat(this.#kv, ref);
  }

  /** What vests of a submission's reward; undefined where nothing does, or does no more. */
  vested(submission: Uint8Array): Promise<Vested | undefined> {
    return vestedOf(this.#kv, submission);
  }

  /** All that vests, of whatever account. */
  allVested(): Promise<Vested[]> {
    return allVested(this.#kv);
  }

  /** Base units that vest for an account. */
  async vesting(address: string): Promise<bigint> {
    const own = (await this.allVested()).filter(({ submitter }) => submitter === address);
    return own.reduce((sum, { amount }) => sum + amount, 0n);
  }

  /** Entries of an account with a number below `before`, newest first. */
  accountEntries(
    address: string,
    page: { readonly before: number | undefined; readonly limit: number },
  ): Promise<JournalEntry[]> {
    return accountEntries(this.#kv, address, page);
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

  /** Merkle path from entry `index` to the root that the journal had after its first `size` entries. */
  path(index: number, size: number): Promise<Uint8Array[]> {
    return journalPath(this.#kv, index, size);
  }

  /**
   * Links the moves and computes the balances after them; AMOUNT where one would fall below zero on the way.
   * JOURNAL where the guard found money to have appeared or vanished: then nothing is moved any more.
   */
  async prepare(moves: readonly Move[], at: number): Promise<PreparedEntries> {
    this.guard.mustHold();
    const accounts = moves.flatMap(({ from, to }) => [from, to]).filter((address) => address !== null);
    const [before, { entries, head, grown }] = await Promise.all([
      this.balances(accounts),
      this.#linked(moves, at),
    ]);
    this.guard.read(before, this.totals);
    this.guard.mustHold();
    const { after, totals } = this.#moved(moves, before);
    let { sum } = this.#state;
    for (const [address, balance] of after) sum += balance - (before.get(address) as bigint);
    return {
      ops: [
        ...entries.map(({ entry, bytes }) => put(bucketKey(BUCKET.journalEntry, entry.seq), bytes)),
        ...balanceOps(after),
        journalHeadOp(head, totals),
        ...grown.ops,
        ...entryIndexOps(
          entries.map(({ entry }) => entry),
          head.seq,
        ),
        ...vestingOps(entries.map(({ entry }) => entry)),
      ],
      entries: entries.map(({ entry }) => entry),
      state: { journal: head, tree: grown.tree, totals, sum },
      after,
    };
  }

  /** To be called when the ops of `prepare` are on disk. */
  apply({ state, after }: PreparedEntries): void {
    this.#state = state;
    this.guard.wrote(after);
    this.guard.sum(state.sum, state.totals);
  }

  /** The moves as entries, and the tree with them: hashed while the store reads what was asked of it before. */
  async #linked(moves: readonly Move[], at: number) {
    await setImmediate();
    const { entries, head } = linkEntries(this.#networkId, this.#state.journal, {
      ...{ moves, at, hash: nativeSha256 },
    });
    const bytes = entries.map((entry) => entry.bytes);
    return { entries, head, grown: growJournalTree(this.#state.tree, bytes) };
  }

  #moved(moves: readonly Move[], before: Balances) {
    const after = new Map(before);
    let { minted, burned, forfeited } = this.totals;
    for (const { kind, from, to, amount } of moves) {
      if (kind === 'forfeit') forfeited += amount;
      if (from === null) minted += amount;
      else {
        const left = (after.get(from) as bigint) - amount;
        must(left >= 0n, 'AMOUNT', () => `the balance of ${from} would fall to ${left}`);
        after.set(from, left);
      }
      if (to === null) burned += amount;
      else after.set(to, (after.get(to) as bigint) + amount);
    }
    return { after, totals: { minted, burned, forfeited } };
  }
}

export function balanceOps(balances: Iterable<readonly [address: string, balance: bigint]>): KvOp[] {
  return Array.from(balances, ([address, balance]) => put(balanceKey(address), u256be(balance)));
}

export function journalHeadOp(
  { seq, head }: JournalLink,
  { minted, burned }: Pick<LedgerTotals, 'minted' | 'burned'>,
): KvOp {
  return put(bucketKey(BUCKET.journalHead), concatBytes(u64be(seq), head, u256be(minted), u256be(burned)));
}

const balanceKey = (address: string) => bucketKey(BUCKET.balance, address);
