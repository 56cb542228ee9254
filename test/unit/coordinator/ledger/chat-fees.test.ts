import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChatFees } from '#coordinator/ledger/chat-fees.ts';
import { Ledger } from '#coordinator/ledger/ledger.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import { WriteLock } from '#coordinator/store/write-lock.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { recoverAddress } from '#shared/crypto/recover.ts';
import { chatAccount } from '#shared/reward/keyless-account.ts';
import { META } from '#test/helpers/forge.ts';
import { signAllowance } from '#worker/wallet/allow-chat.ts';

const NETWORK = new Uint8Array(32).fill(3);
const ALICE = keyPair(new Uint8Array(32).fill(7));
const NOW = 1_800_000_000_000;
const payment = signAllowance(
  NETWORK,
  { account: ALICE.address, limit: 1_000n, nonce: 1n, expiry: 1_800_000_060n },
  ALICE,
);

/** What a process that has just started finds in the store. */
async function opened(kv: MemoryKv): Promise<{ fees: ChatFees; ledger: Ledger }> {
  const ledger = await Ledger.open(kv, NETWORK);
  const manifest = { ...META.manifest, fees: { chat_token_units: 10n } };
  const chain = { networkId: NETWORK, meta: { ...META, manifest } };
  const sealed = { root: new Uint8Array(32), tensors: new Map() };
  const fees = new ChatFees({
    ...{ kv, ledger, lock: new WriteLock(), now: () => NOW },
    chain: { ...chain, sealed, block: async () => undefined } as never,
    recover: async (signature, digest) => recoverAddress(signature, digest),
  });
  return { fees, ledger };
}

async function funded(): Promise<MemoryKv> {
  const kv = new MemoryKv();
  const ledger = await Ledger.open(kv, NETWORK);
  const mint = { kind: 'reward-submitter', ref: new Uint8Array(32), from: null, to: ALICE.address } as const;
  const prepared = await ledger.prepare([{ ...mint, amount: 500n }], NOW);
  await kv.batch(prepared.ops);
  return kv;
}

test('what was reserved when the process was killed goes back whole at the next start, and once', async () => {
  const kv = await funded();
  const killed = await opened(kv);
  const { tokens } = await killed.fees.reserve(payment, 30);
  assert.equal(tokens, 30);
  assert.equal(await killed.ledger.balance(ALICE.address), 200n);
  for (let start = 0; start < 2; start++) {
    const { fees, ledger } = await opened(kv);
    await fees.start();
    assert.equal(await ledger.balance(ALICE.address), 500n);
    assert.equal(await ledger.balance(chatAccount(NETWORK)), 0n);
    assert.equal(ledger.journal.seq, 3);
  }
  const { fees } = await opened(kv);
  assert.equal(
    (await fees.reserve(payment, 1_000)).tokens,
    50,
    'the limit counts what was spent, not what went back',
  );
});

test('two reservations at once share one balance and one limit', async () => {
  const { fees, ledger } = await opened(await funded());
  const all = await Promise.allSettled([1, 2, 3, 4].map(() => fees.reserve(payment, 20)));
  const tokens = all.map((one) => (one.status === 'fulfilled' ? one.value.tokens : one.reason.code));
  assert.deepEqual(tokens, [20, 20, 10, 'FUNDS']);
  assert.equal(await ledger.balance(ALICE.address), 0n);
});
