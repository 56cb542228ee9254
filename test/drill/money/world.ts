import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UNWATCHED } from '#coordinator/progress.ts';
import { reindexFolder } from '#coordinator/repair/reindex.ts';
import { copyStore } from '#coordinator/store/copy-store.ts';
import { decodeEntry, type Move } from '#shared/block/journal.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { transferDigest } from '#shared/protocol/transfer.ts';
import { vestingAccount } from '#shared/reward/keyless-account.ts';
import { ACCOUNTS, NEVER, NOBODY, transferOf } from '#test/drill/money/accounts.ts';
import {
  assertMade,
  assertRefused,
  assertUnpaid,
  type Question,
  type Sent,
  type Wish,
} from '#test/drill/money/answers.ts';
import { Oracle } from '#test/drill/money/oracle.ts';
import { CHAT_TOKEN_UNITS, MoneyPool, WORKER } from '#test/helpers/money-pool.ts';
import { signAllowance } from '#worker/wallet/allow-chat.ts';
import { signTransfer } from '#worker/wallet/send.ts';

/** A pool, what it should be, and how it is held against that. */
export class World {
  readonly oracle = new Oracle();
  /** What was done, by kind: for the report. */
  readonly counts: Record<string, number> = {};
  readonly #root: string;
  #pool: MoneyPool;
  #generation = 0;
  #submissions = 0;
  #shares = 0;
  #questions = 0;
  #lastSent: Sent | undefined;

  private constructor(root: string, pool: MoneyPool) {
    this.#root = root;
    this.#pool = pool;
  }

  /** A copy of a pool that `template` holds, in the new folder `root`. */
  static async open(template: string, root: string): Promise<World> {
    await cp(template, join(root, '0'), { recursive: true });
    return new World(root, await MoneyPool.open(join(root, '0')));
  }

  get dir(): string {
    return join(this.#root, String(this.#generation));
  }

  /** Number of elementary operations so far. */
  get operations(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  /** All at once: each is answered as the entries that there are then demand. */
  async transfer(wishes: readonly Wish[], questions: readonly Question[] = []): Promise<void> {
    const before = new Map(this.oracle.balances);
    const sent = this.#send(wishes);
    const [results, asked] = await Promise.all([
      Promise.allSettled(sent.map(({ answer }) => answer)),
      Promise.allSettled(questions.map((question) => this.#ask(question))),
    ]);
    const { least } = await this.#catchUp(before);
    asked.forEach((result, i) => {
      const { account, wanted } = questions[i] as Question;
      this.#count(result.status === 'fulfilled' ? 'chats paid' : 'chats refused');
      if (result.status === 'fulfilled') assert.ok(result.value > 0 && result.value <= wanted);
      else assertUnpaid(result.reason, least.get((ACCOUNTS[account] as KeyPair).address) ?? 0n);
    });
    const made = new Set(
      sent.filter((_, i) => results[i]?.status === 'fulfilled').map(({ digest }) => digest),
    );
    results.forEach((result, i) => {
      const one = sent[i] as Sent;
      this.#count(`transfers, ${one.wish.kind}`);
      if (result.status === 'fulfilled') assertMade(this.oracle, one, result.value);
      else assertRefused(this.oracle, one, { error: result.reason, least, twinMade: made.has(one.digest) });
    });
  }

  async submit(miner: number): Promise<void> {
    const record = await this.#prepare(miner);
    await this.#pool.commit(record);
    await this.#catchUp();
    assert.ok(this.oracle.paid.has(toHex(record.id)), 'a committed submission is not paid');
    assert.equal((await this.#pool.submissions.get(record.id))?.state, 'paid');
    this.#count('submissions');
  }

  /** New shares, of which some come twice, and some that were there before. */
  async share(fresh: number, twice: number, known: number): Promise<void> {
    const hashOf = (n: number) => new Uint8Array(createHash('sha256').update(`share ${n}`).digest());
    const first = this.#shares;
    this.#shares += fresh;
    const news = Array.from({ length: fresh }, (_, i) => hashOf(first + i));
    const olds = Array.from({ length: Math.min(known, first) }, (_, i) => hashOf(first - 1 - i));
    const credited = await this.#pool.share([...news, ...news.slice(0, twice), ...olds]);
    assert.equal(credited, fresh, 'a share counts twice, or not at all');
    for (const hash of news) this.oracle.shares.add(toHex(hash));
    this.#count('shares', fresh + Math.min(twice, fresh) + olds.length);
  }

  /** What vests of one submission goes back to its miner, or burns. */
  async settle(which: number, kind: 'release' | 'forfeit'): Promise<void> {
    const open = [...this.oracle.vesting];
    const [id, vested] = open[which % Math.max(1, open.length)] ?? [];
    if (id === undefined || vested === undefined) return;
    const from = vestingAccount(this.#pool.chain.networkId);
    const to = kind === 'release' ? vested.from : null;
    const move: Move = { kind, ref: fromHex(id, 32), from, to, amount: vested.amount };
    const { lock, ledger, kv } = this.#pool;
    await lock.run(async () => {
      const prepared = await ledger.prepare([move], Date.now());
      await kv.batch(prepared.ops, { durable: true });
      ledger.apply(prepared);
    });
    await this.#catchUp();
    assert.ok(!this.oracle.vesting.has(id));
    this.#count(kind);
  }

  async restart(): Promise<void> {
    await this.#pool.close();
    this.#pool = await MoneyPool.open(this.dir);
    this.#count('restarts');
    await this.assertWhole();
  }

  async reindex(): Promise<void> {
    const { journal, chain } = {
      journal: this.#pool.ledger.journal,
      chain: toHex(this.#pool.chain.sealed.root),
    };
    await this.#pool.close();
    const report = await reindexFolder(this.dir, Date.now, UNWATCHED);
    assert.deepEqual(
      report.lines.filter(({ changed }) => changed),
      [],
      'reindex found something to mend',
    );
    assert.equal(report.state.journal.root, toHex(journal.root));
    assert.equal(report.state.root, chain);
    this.#pool = await MoneyPool.open(this.dir);
    this.#count('reindexes');
    await this.assertWhole();
  }

  /**
   * What a disk holds at any moment in the midst of transfers and of a commit, opened as after a crash: all that was
   * acknowledged before, and of what was under way each either whole or not at all.
   */
  async crash(wishes: readonly Wish[], miner: number, afterMs: number): Promise<void> {
    const record = await this.#prepare(miner);
    const acknowledged: Sent[] = [];
    const sent = this.#send(wishes);
    const asked = this.#ask({ account: miner, wanted: 5, delivered: 3 });
    for (const one of sent) one.answer.then(() => acknowledged.push(one)).catch(() => undefined);
    let committed = false;
    const commit = this.#pool.commit(record).then(() => {
      committed = true;
    });
    const underWay = Promise.allSettled([...sent.map(({ answer }) => answer), commit, asked]);
    await sleep(afterMs);
    const [known, wasCommitted] = [[...acknowledged], committed];
    const next = join(this.#root, String(this.#generation + 1));
    await mkdir(join(next, 'store'), { recursive: true });
    await copyStore(join(this.dir, 'store'), join(next, 'store'));
    await underWay;
    await this.#pool.close();
    this.#generation += 1;
    this.#pool = await MoneyPool.open(this.dir);
    await this.#catchUp();
    for (const { digest } of known)
      assert.ok(this.oracle.transfers.has(digest), 'an acknowledged transfer is lost');
    const isPaid = this.oracle.paid.has(toHex(record.id));
    if (wasCommitted) assert.ok(isPaid, 'an acknowledged commit is lost');
    const state = (await this.#pool.submissions.get(record.id))?.state;
    assert.equal(
      state === 'paid',
      isPaid,
      `the submission is ${state}, its reward ${isPaid ? 'there' : 'not'}`,
    );
    this.#count(isPaid || known.length > 0 ? 'crashes' : 'crashes before anything');
    this.#count('transfers, crashed into', sent.length);
    await this.assertWhole();
  }

  /** The ledger in every account and total. */
  async assertWhole(): Promise<void> {
    const { ledger, units } = this.#pool;
    const { oracle } = this;
    oracle.assertConserved();
    for (const [chat, left] of oracle.chats) assert.equal(left, 0n, `of chat ${chat} something is left`);
    const { minted, burned } = ledger.totals;
    // What is forfeited leaves the balances as what is burned does.
    assert.equal(minted - burned, oracle.minted - oracle.burned, 'the totals differ');
    assert.equal(ledger.journal.seq, oracle.seq);
    assert.ok(ledger.sums);
    const balances = await ledger.balances(oracle.balances.keys());
    assert.deepEqual(new Map(balances), oracle.balances);
    for (const { address } of ACCOUNTS) assert.equal(await ledger.nonce(address), oracle.nonce(address));
    assert.equal(this.#pool.chain.submissionsSealed, oracle.paid.size, 'sealed and paid differ');
    // Besides the shares one for each block that was found, also where a crash came before its commit.
    const found = units.places.grinding.seq - oracle.shares.size;
    assert.ok(found >= oracle.paid.size && found <= this.#submissions, `${found} blocks were found`);
    assert.equal(units.places.evaluation.seq, oracle.paid.size);
  }

  /** Reserves, answers and settles. Returns the tokens that were paid for. */
  async #ask({ account, wanted, delivered }: Question): Promise<number> {
    const key = ACCOUNTS[account] as KeyPair;
    const allowance = {
      ...{ account: key.address, limit: CHAT_TOKEN_UNITS * 1_000n, expiry: NEVER },
      nonce: BigInt(++this.#questions),
    };
    const { chats, chain } = this.#pool;
    const reservation = await chats.reserve(signAllowance(chain.networkId, allowance, key), wanted);
    await chats.settle(reservation, {
      tokens: Math.min(delivered, reservation.tokens),
      worker: WORKER.address,
    });
    return reservation.tokens;
  }

  async #prepare(miner: number) {
    this.#submissions += 1;
    return this.#pool.prepare(ACCOUNTS[miner] as KeyPair, 1_000 + this.#submissions);
  }

  #send(wishes: readonly Wish[]): Sent[] {
    const next = new Map(ACCOUNTS.map(({ address }) => [address, this.oracle.nonce(address)]));
    return wishes.map((wish) => {
      if (wish.kind === 'repeat' && this.#lastSent) return this.#again(this.#lastSent, wish);
      const { address } = ACCOUNTS[wish.from] as KeyPair;
      const transfer = transferOf(wish, { next, made: this.oracle.nonce(address) });
      const key = wish.kind === 'forged' ? NOBODY : (ACCOUNTS[wish.from] as KeyPair);
      const { networkId } = this.#pool.chain;
      const answer = this.#pool.transfers.submit(signTransfer(networkId, transfer, key));
      answer.catch(() => undefined);
      const sent = { wish, transfer, digest: toHex(transferDigest(networkId, transfer)), answer };
      if (wish.kind === 'right') this.#lastSent = sent;
      return sent;
    });
  }

  #again({ transfer, digest }: Sent, wish: Wish): Sent {
    const key = ACCOUNTS.find(({ address }) => address === transfer.from) as KeyPair;
    const answer = this.#pool.transfers.submit(signTransfer(this.#pool.chain.networkId, transfer, key));
    answer.catch(() => undefined);
    return { wish, transfer, digest, answer };
  }

  /** Shows the oracle the entries that it has not seen; the least that each account had on the way. */
  async #catchUp(before: ReadonlyMap<string, bigint> = new Map()): Promise<{ least: Map<string, bigint> }> {
    const least = new Map(before);
    for (;;) {
      const entries = await this.#pool.ledger.entries(this.oracle.seq, 1_000);
      if (entries.length === 0) return { least };
      for (const bytes of entries) {
        const entry = decodeEntry(bytes);
        this.oracle.take(entry);
        const { from } = entry;
        const had = from === null ? undefined : least.get(from);
        if (from !== null && had !== undefined && this.oracle.balance(from) < had)
          least.set(from, this.oracle.balance(from));
      }
    }
  }

  #count(what: string, by = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + by;
  }
}
