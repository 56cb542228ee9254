import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '#shared/crypto/bytes.ts';
import { type KeyPair, keyPair } from '#shared/crypto/keys.ts';
import { type Adjustment, adjustmentDigest } from '#shared/protocol/adjustment.ts';
import { CHAIN, MINER, NETWORK } from '#test/helpers/forge.ts';
import {
  accounts,
  movesOf,
  NO_ENTRY,
  relinked,
  StoredPoolServer,
  vectorPool,
} from '#test/helpers/stored-pool.ts';
import { auditPool } from '#worker/audit/pool-audit.ts';
import { SILENT } from '#worker/audit/progress.ts';
import { HttpSource } from '#worker/audit/source.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import { signAdjustment } from '#worker/wallet/adjust.ts';

const POOL = keyPair(CHAIN.secrets.pool);
const server = await StoredPoolServer.start();
const adjustment: Adjustment = {
  to: keyPair(new Uint8Array(32).fill(6)).address,
  amount: 7n,
  reason: 'lost shares',
  nonce: new Uint8Array(16),
  expiry: 1_800_000_000n,
};

interface Forged {
  readonly key?: KeyPair;
  /** What the entry says that was not signed. */
  readonly moved?: { amount?: bigint; to?: string; time?: number };
  readonly kept?: boolean;
}

async function audited({ key = POOL, moved = {}, kept = true }: Forged = {}) {
  const pool = vectorPool();
  const ref = adjustmentDigest(NETWORK, key.publicKey, adjustment);
  const { to, amount } = adjustment;
  const move = { kind: 'adjustment', ref, from: key.address, to, amount, time: 1_767_225_900_000 } as const;
  const journal = relinked([...movesOf(pool.journal), { ...move, ...moved }]);
  server.pool = { ...pool, ...accounts(journal) };
  const signed = signAdjustment(NETWORK, adjustment, key);
  if (kept)
    server.pool.signed.set(`adjustments/${toHex(ref)}`, { digest: toHex(ref), entry: NO_ENTRY, signed });
  const signal = new AbortController().signal;
  return auditPool(
    { chain: 'both', payloads: false, losses: 0 },
    {
      source: new HttpSource(new ApiClient(server.url), signal),
      ...{ progress: SILENT, signal, now: () => 0, random: () => 0.5 },
      evaluator: () => Promise.reject(new Error('no loss is asked for')),
    },
  );
}

test('what the pool signed is a line of the report', async () => {
  const { finding, checks } = await audited();
  assert.equal(finding, undefined);
  assert.equal(checks.find(({ what }) => what === 'adjustments')?.count, 1);
});

const REFUSED: [string, string, Forged][] = [
  ['JOURNAL', 'by another key that has money', { key: MINER }],
  ['JOURNAL', 'of another amount', { moved: { amount: 8n } }],
  ['JOURNAL', 'to somebody else', { moved: { to: keyPair(new Uint8Array(32).fill(5)).address } }],
  ['JOURNAL', 'after it had expired', { moved: { time: 1_800_000_001_000 } }],
  ['NOT_FOUND', 'that nobody signed', { kept: false }],
];
for (const [code, what, forged] of REFUSED)
  test(`${code}: an adjustment ${what}`, async () => {
    const { finding } = await audited(forged);
    assert.equal(finding?.code, code, finding?.message);
    assert.match(finding?.at ?? '', /^journal entry \d+$/);
  });
