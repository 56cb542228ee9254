import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TypedDataEncoder } from 'ethers';
import { hashTypedData } from 'viem';
import { toHex } from '#shared/crypto/bytes.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { recoverAddress } from '#shared/crypto/recover.ts';
import {
  type Allowance,
  allowanceDigest,
  allowanceTypedData,
  parseAllowance,
} from '#shared/protocol/allowance.ts';
import { signAllowance } from '#worker/wallet/allow-chat.ts';

const NETWORK = new Uint8Array(32).fill(3);
const KEY = keyPair(new Uint8Array(32).fill(7));
const allowance: Allowance = { account: KEY.address, limit: 5n, nonce: 2n ** 63n, expiry: 1_800_000_000n };

test('the digest is that of viem and of ethers', () => {
  const { types, primaryType, domain, message } = allowanceTypedData(NETWORK, allowance);
  const digest = `0x${toHex(allowanceDigest(NETWORK, allowance))}`;
  assert.equal(hashTypedData({ types, primaryType, domain, message } as never), digest);
  const { EIP712Domain: _, ...structs } = types;
  assert.equal(TypedDataEncoder.hash(domain, structs as never, message), digest);
});

test('what is signed comes back as it was', () => {
  const { allowance: parsed, signature } = parseAllowance(signAllowance(NETWORK, allowance, KEY));
  assert.deepEqual(parsed, allowance);
  assert.equal(recoverAddress(signature, allowanceDigest(NETWORK, parsed)), KEY.address);
});

const REFUSED: [string, object][] = [
  ['ADDRESS', { account: '0x12' }],
  ['AMOUNT', { limit: '0' }],
  ['AMOUNT', { limit: '0x5' }],
  ['PAYMENT', { nonce: '-1' }],
  ['PAYMENT', { nonce: `${2n ** 64n}` }],
  ['PAYMENT', { expiry: '253402300800' }],
  ['SIGNATURE', { signature: '0x' }],
];
for (const [code, change] of REFUSED)
  test(`${code}: ${JSON.stringify(change)}`, () => {
    const request = { ...signAllowance(NETWORK, allowance, KEY), ...change };
    assert.throws(() => parseAllowance(request), { code });
  });
