import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addUp } from '#coordinator/ledger/add-up.ts';
import { BalanceGuard } from '#coordinator/ledger/balance-guard.ts';
import { Ledger } from '#coordinator/ledger/ledger.ts';
import { LedgerCheck } from '#coordinator/ledger/ledger-check.ts';
import { BUCKET, bucketKey } from '#coordinator/store/keys.ts';
import { put } from '#coordinator/store/kv.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import type { Move } from '#shared/block/journal.ts';
import { fromHex, utf8ToBytes } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { NETWORK, SECOND_WORKER, WORKER } from '#test/helpers/forge.ts';

const [alice, bob] = [WORKER.address, SECOND_WORKER.address];
const ref = new Uint8Array(32);
const mint = (to: string, amount: bigint): Move => ({ kind: 'reward-pool', ref, from: null, to, amount });
const send = (from: string, to: string, amount: bigint): Move => ({
  kind: 'transfer',
  ref,
  from,
  to,
  amount,
});

class Books {
  readonly kv = new MemoryKv();
  ledger: Ledger | undefined;
  readonly faults: unknown[] = [];

  async open(): Promise<Ledger> {
    this.ledger = await Ledger.open(this.kv, NETWORK);
    return this.ledger;
  }

  async write(...moves: Move[]): Promise<void> {
    const ledger = this.ledger ?? (await this.open());
    const prepared = await ledger.prepare(moves, 1);
    await this.kv.batch(prepared.ops);
    ledger.apply(prepared);
  }

  /** Changes a balance behind the ledger's back. */
  damage(address: string, balance: bigint): Promise<void> {
    const bytes = fromHex(balance.toString(16).padStart(64, '0'), 32);
    return this.kv.batch([put(bucketKey(BUCKET.balance, utf8ToBytes(address)), bytes)]);
  }

  get check(): LedgerCheck {
    return new LedgerCheck(
      { everyMs: 5, restRatio: 0 },
      { kv: this.kv, ledger: this.ledger as Ledger, onFault: (error) => this.faults.push(error) },
    );
  }
}

const isJournal = (error: unknown) => error instanceof PoolError && error.code === 'JOURNAL';

describe('the guard of the balances', () => {
  it('finds nothing wrong with a ledger that is whole', async () => {
    const books = new Books();
    await books.write(mint(alice, 10n), send(alice, bob, 4n));
    await books.write(send(bob, alice, 1n), { kind: 'burn', ref, from: alice, to: null, amount: 2n });
    assert.deepEqual(await books.check.check(), { accounts: 2, sum: 8n, minted: 10n, burned: 2n });
    assert.ok((await books.open()).sums);
    assert.deepEqual(books.faults, []);
  });

  it('JOURNAL: a balance that changed on the disk, when all are added up', async () => {
    const books = new Books();
    await books.write(mint(alice, 10n), mint(bob, 5n));
    await books.damage(bob, 6n);
    assert.ok(books.ledger?.sums, 'nobody has looked yet');
    await books.check.check();
    assert.equal(books.ledger?.sums, false);
    assert.deepEqual(books.faults.map(isJournal), [true]);
    await assert.rejects(books.write(send(alice, bob, 1n)), isJournal);
  });

  it('JOURNAL: a start on it pays nothing, and says why', async () => {
    const books = new Books();
    await books.write(mint(alice, 10n));
    await books.damage(alice, 9n);
    const ledger = await books.open();
    assert.match(ledger.guard.fault ?? '', /the balances sum to 9, minted less burned is 10/);
    await assert.rejects(books.write(mint(alice, 1n)), isJournal);
  });

  it('JOURNAL: two balances that changed against each other, when one of them moves', async () => {
    const books = new Books();
    await books.write(mint(alice, 10n), mint(bob, 5n));
    await books.damage(alice, 11n);
    await books.damage(bob, 4n);
    await assert.rejects(books.write(send(bob, alice, 1n)), isJournal);
    assert.equal(books.ledger?.sums, false);
  });

  it('JOURNAL: a balance beyond all money, as one below zero would be', () => {
    const guard = new BalanceGuard();
    const totals = { minted: 10n, burned: 3n, forfeited: 0n };
    guard.read(new Map([[alice, 7n]]), totals);
    assert.equal(guard.fault, undefined);
    guard.read(new Map([[alice, 2n ** 256n - 1n]]), totals);
    assert.match(guard.fault ?? '', new RegExp(alice));
    assert.throws(() => guard.mustHold(), isJournal);
  });

  it('tells once, looks again and again, and ends when it is closed', async () => {
    const books = new Books();
    await books.write(mint(alice, 10n));
    const { check } = books;
    check.start();
    await books.damage(alice, 9n);
    while (books.faults.length === 0) await new Promise(setImmediate);
    await new Promise((resolve) => setTimeout(resolve, 30));
    await check.close();
    assert.equal(books.faults.length, 1);
  });

  it('adds up one moment, whatever is written meanwhile', async () => {
    const books = new Books();
    for (let i = 0; i < 1_500; i += 500)
      await books.write(
        ...Array.from({ length: 500 }, (_, n) => mint(`0x${String(i + n).padStart(40, '0')}`, 1n)),
      );
    let rests = 0;
    const added = await addUp(books.kv, async () => {
      rests += 1;
      await books.write(mint(alice, 100n));
    });
    assert.deepEqual([rests, added.sum], [1, 1_500n]);
    assert.equal(added.sum, added.minted - added.burned);
  });
});
