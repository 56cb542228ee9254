import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { privateKeyToAccount } from 'viem/accounts';
import { Ledger } from '#coordinator/ledger/ledger.ts';
import { TRANSFER_DEFAULTS, type TransferReceipt, Transfers } from '#coordinator/ledger/transfers.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { WriteLock } from '#coordinator/store/write-lock.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { recoverAddress } from '#shared/crypto/recover.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import {
  BURN_ADDRESS,
  type Transfer,
  type TransferRequest,
  transferTypedData,
} from '#shared/protocol/transfer.ts';

const NETWORK = new Uint8Array(32).fill(3);
const ALICE = privateKeyToAccount(`0x${'11'.repeat(32)}`);
const BOB = privateKeyToAccount(`0x${'22'.repeat(32)}`);
const NOW = 1_800_000_000_000;
const EXPIRY = 1_800_000_060n;

async function request(
  change: Partial<Transfer> = {},
  signer = ALICE,
  network = NETWORK,
): Promise<TransferRequest> {
  const transfer = {
    from: ALICE.address,
    to: BOB.address,
    amount: 10n,
    nonce: 0n,
    expiry: EXPIRY,
    ...change,
  };
  const { types, primaryType, domain, message } = transferTypedData(network, transfer);
  const signature = await signer.signTypedData({ types, primaryType, domain, message } as never);
  return { ...message, signature };
}

const refused = (code: string, work: Promise<unknown>) =>
  assert.rejects(work, (error) => error instanceof PoolError && error.code === code, code);

describe('transfers', () => {
  let kv: KV;
  let ledger: Ledger;
  let transfers: Transfers;
  let nowMs = NOW;

  const open = async (dir: string) => {
    kv = await openRocksKv(dir);
    ledger = await Ledger.open(kv, NETWORK);
    transfers = new Transfers(
      { ...TRANSFER_DEFAULTS, gapMs: 100 },
      {
        kv,
        lock: new WriteLock(),
        ledger,
        networkId: NETWORK,
        now: () => nowMs,
        recover: async (signature, digest) => recoverAddress(signature, digest),
      },
    );
  };
  const mint = async (to: string, amount: bigint) => {
    const move = { kind: 'reward-submitter', ref: new Uint8Array(32), from: null, to, amount } as const;
    const prepared = await ledger.prepare([move], nowMs);
    await kv.batch(prepared.ops, { durable: true });
    ledger.apply(prepared);
  };

  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiblock-transfers-'));
    await open(dir);
    await mint(ALICE.address, 1_000n);
  });
  after(async () => {
    await transfers.close();
    await kv.close();
    await rm(dir, { recursive: true });
  });

  it('moves money once, and gives the same answer to the same transfer', async () => {
    const signed = await request();
    const first = await transfers.submit(signed);
    assert.equal(first.isNew, true);
    assert.equal(first.entry.kind, 'transfer');
    assert.deepEqual(first.entry.ref, first.digest);
    const twins = await Promise.all([transfers.submit(signed), transfers.submit(signed)]);
    for (const again of twins) assert.deepEqual(again, { ...first, isNew: false });
    assert.equal(await ledger.balance(ALICE.address), 990n);
    assert.equal(await ledger.balance(BOB.address), 10n);
    assert.equal(await ledger.nonce(ALICE.address), 1n);
    assert.ok(ledger.sums);
    const proof = await ledger.transfer(first.digest);
    assert.deepEqual(proof, {
      entry: first.entry,
      nonce: 0n,
      expiry: EXPIRY,
      signature: fromHex(signed.signature.slice(2), 65),
    });
    assert.equal(await ledger.transfer(new Uint8Array(32)), undefined);
  });

  it('two at once of the same transfer are one', async () => {
    const signed = await request({ nonce: 1n });
    const both = await Promise.all([transfers.submit(signed), transfers.submit(signed)]);
    assert.deepEqual(both.map(({ isNew }) => isNew).sort(), [false, true]);
    assert.equal(await ledger.balance(BOB.address), 20n);
  });

  it('SIGNATURE for another signer, another network and a changed field', async () => {
    await refused('SIGNATURE', transfers.submit(await request({ nonce: 2n }, BOB)));
    await refused('SIGNATURE', transfers.submit({ ...(await request({ nonce: 2n })), amount: '11' }));
    const elsewhere = await request({ nonce: 2n }, ALICE, new Uint8Array(32).fill(4));
    await refused('SIGNATURE', transfers.submit(elsewhere));
  });

  it('TRANSFER_EXPIRED', async () => {
    await refused('TRANSFER_EXPIRED', transfers.submit(await request({ nonce: 2n, expiry: 1_799_999_999n })));
  });

  it('TRANSFER_NONCE for one that is used, and for one whose predecessors do not come', async () => {
    await refused('TRANSFER_NONCE', transfers.submit(await request({ nonce: 0n, amount: 11n })));
    const early = transfers.submit(await request({ nonce: 5n }));
    setTimeout(() => (nowMs += 200), 20);
    await refused('TRANSFER_NONCE', early);
    await refused('TRANSFER_NONCE', transfers.submit(await request({ nonce: 500n })));
  });

  it('FUNDS', async () => {
    await refused('FUNDS', transfers.submit(await request({ nonce: 2n, amount: 981n })));
    assert.equal(await ledger.nonce(ALICE.address), 2n);
  });

  it('a hundred at once from one account: exactly the affordable ones', async () => {
    nowMs = NOW;
    const balance = await ledger.balance(ALICE.address); // 980
    const wanted = await Promise.all(
      Array.from({ length: 100 }, (_, i) => request({ nonce: 2n + BigInt(i), amount: 20n })),
    );
    const shuffled = wanted.map((_, i) => wanted[(i * 37) % 100] as TransferRequest);
    setTimeout(() => (nowMs += 200), 300);
    const results = await Promise.allSettled(shuffled.map((signed) => transfers.submit(signed)));
    const made = results.filter(
      (result): result is PromiseFulfilledResult<TransferReceipt> => result.status === 'fulfilled',
    );
    assert.equal(BigInt(made.length), balance / 20n);
    assert.equal(await ledger.balance(ALICE.address), 0n);
    const codes = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : []));
    assert.ok(codes.every((code) => code === 'FUNDS' || code === 'TRANSFER_NONCE'));
    assert.equal(new Set(made.map(({ value }) => value.entry.seq)).size, made.length);
    assert.ok(ledger.sums);
  });

  it('lists the entries of an account in pages that do not move', async () => {
    const all = await ledger.accountEntries(ALICE.address, { before: undefined, limit: 1_000 });
    assert.equal(all.length, 1 + 2 + 49);
    const first = await ledger.accountEntries(ALICE.address, { before: undefined, limit: 10 });
    const second = await ledger.accountEntries(ALICE.address, { before: first.at(-1)?.seq, limit: 10 });
    assert.deepEqual([...first, ...second], all.slice(0, 20));
  });

  it('to the zero address burns, once', async () => {
    const before = { ...ledger.totals };
    const signed = await request({ from: BOB.address, nonce: 0n, to: BURN_ADDRESS, amount: 3n }, BOB);
    const { entry, digest } = await transfers.submit(signed);
    assert.deepEqual([entry.kind, entry.from, entry.to], ['burn', BOB.address, null]);
    assert.equal((await transfers.submit(signed)).isNew, false);
    assert.deepEqual(ledger.totals, { ...before, burned: before.burned + 3n });
    assert.equal(await ledger.balance(BURN_ADDRESS), 0n);
    assert.ok(ledger.sums);
    assert.deepEqual((await ledger.transfer(digest))?.entry, entry);
  });

  it('everything stands after a restart', async () => {
    const before = { head: toHex(ledger.journal.head), bob: await ledger.balance(BOB.address) };
    await transfers.close();
    await kv.close();
    await open(dir);
    assert.equal(toHex(ledger.journal.head), before.head);
    assert.equal(await ledger.balance(BOB.address), before.bob);
    assert.equal(await ledger.nonce(ALICE.address), 51n);
  });

  it('what comes while the last of a batch is answered waits for nobody', async () => {
    const patient = { ...TRANSFER_DEFAULTS, gapMs: 120_000 };
    const parts = { kv, lock: new WriteLock(), ledger, networkId: NETWORK, now: () => nowMs };
    const stage = new Transfers(patient, { ...parts, recover: async (s, d) => recoverAddress(s, d) });
    const next = await ledger.nonce(BOB.address);
    const change = { from: BOB.address, to: ALICE.address, amount: 1n };
    const signed = await Promise.all(
      Array.from({ length: 40 }, (_, i) => request({ ...change, nonce: next + BigInt(i) }, BOB)),
    );
    const all = async () => {
      for (const [turns, one] of signed.entries()) {
        await stage.submit(one);
        // The next one comes so many turns of the microtasks after the answer.
        for (let i = 0; i < turns; i++) await undefined;
      }
      return 'made';
    };
    const late = new AbortController();
    const result = await Promise.race([all(), sleep(30_000, 'one waits as if it were early', late)]);
    late.abort();
    assert.equal(result, 'made');
    await stage.close();
  });

  it('UNAVAILABLE while closing', async () => {
    await transfers.close();
    await refused('UNAVAILABLE', transfers.submit(await request({ nonce: 51n })));
  });
});
