import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '#shared/crypto/bytes.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import {
  type Adjustment,
  type AdjustmentRequest,
  adjustmentDigest,
  adjustmentRequest,
  checkAdjustmentSignature,
  parseAdjustment,
} from '#shared/protocol/adjustment.ts';
import { signAdjustment } from '#worker/wallet/adjust.ts';

const NETWORK = new Uint8Array(32).fill(3);
const POOL = keyPair(new Uint8Array(32).fill(7));
const FRIEND = keyPair(new Uint8Array(32).fill(8)).address;
const adjustment: Adjustment = {
  to: FRIEND,
  amount: 5n,
  reason: 'lost shares of 3 May',
  nonce: new Uint8Array(16).fill(9),
  expiry: 1_800_000_000n,
};
const request = signAdjustment(NETWORK, adjustment, POOL);

test('what is signed comes back as it was, on this network alone', () => {
  const signed = parseAdjustment(request);
  assert.deepEqual(signed.adjustment, adjustment);
  assert.deepEqual(adjustmentRequest(signed), request);
  assert.deepEqual(
    checkAdjustmentSignature(NETWORK, signed),
    adjustmentDigest(NETWORK, POOL.publicKey, adjustment),
  );
  assert.throws(() => checkAdjustmentSignature(new Uint8Array(32), signed), { code: 'SIGNATURE' });
});

test('SIGNATURE: every changed field', () => {
  const changes: Partial<AdjustmentRequest>[] = [
    { to: keyPair(new Uint8Array(32).fill(6)).address },
    { amount: '6' },
    { reason: 'another' },
    { nonce: '00'.repeat(16) },
    { expiry: '1800000001' },
    { key: toHex(keyPair(new Uint8Array(32).fill(5)).publicKey) },
  ];
  for (const change of changes)
    assert.throws(() => checkAdjustmentSignature(NETWORK, parseAdjustment({ ...request, ...change })), {
      code: 'SIGNATURE',
    });
});

const REFUSED: [string, string, Partial<AdjustmentRequest>][] = [
  [
    'ADDRESS',
    'a bad checksum',
    {
      to: FRIEND.replace(/[a-f]/, (c) => c.toUpperCase()).replace(/[A-F](?=[^A-F]*$)/, (c) =>
        c.toLowerCase(),
      ),
    },
  ],
  ['AMOUNT', 'nothing', { amount: '0' }],
  ['AMOUNT', 'a negative amount', { amount: '-1' }],
  ['AMOUNT', 'more than 64 bits', { amount: `${2n ** 64n}` }],
  ['ADJUSTMENT', 'no reason', { reason: '' }],
  ['ADJUSTMENT', 'a blank reason', { reason: '   ' }],
  ['ADJUSTMENT', 'two lines', { reason: 'a\nb' }],
  ['ADJUSTMENT', 'an escape sequence', { reason: 'a\u001b[31m' }],
  ['ADJUSTMENT', 'text that turns direction', { reason: 'a\u202eb' }],
  ['ADJUSTMENT', 'a long reason', { reason: 'a'.repeat(201) }],
  ['ADJUSTMENT', 'a short nonce', { nonce: '00' }],
  ['ADJUSTMENT', 'a time beyond the year 9999', { expiry: '253402300800' }],
  ['ADJUSTMENT', 'the pool itself', { to: POOL.address }],
  ['SIGNATURE', 'a key off the curve', { key: '00'.repeat(33) }],
  ['SIGNATURE', 'a signature of 65 bytes', { signature: `${request.signature}1b` }],
];
for (const [code, what, change] of REFUSED)
  test(`${code}: ${what}`, () => {
    assert.throws(() => parseAdjustment({ ...request, ...change }), { code });
  });
