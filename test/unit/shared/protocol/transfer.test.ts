import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SignTypedDataVersion, signTypedData } from '@metamask/eth-sig-util';
import { Wallet } from 'ethers';
import { hashTypedData } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { recoverAddress } from '#shared/crypto/recover.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import {
  parseTransfer,
  type Transfer,
  type TransferRequest,
  transferDigest,
  transferTypedData,
} from '#shared/protocol/transfer.ts';

const NETWORK = fromHex('ab'.repeat(32), 32);
const SECRET = `0x${'11'.repeat(32)}` as const;
const FROM = keyPair(fromHex(SECRET.slice(2), 32)).address;
const TO = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8';
const TRANSFER: Transfer = { from: FROM, to: TO, amount: 123n, nonce: 4n, expiry: 1_900_000_000n };
const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

const viemSign = () => {
  const { types, primaryType, domain, message } = transferTypedData(NETWORK, TRANSFER);
  return privateKeyToAccount(SECRET).signTypedData({ types, primaryType, domain, message } as never);
};
const bytes = (hex: string) => fromHex(hex.slice(2), (hex.length - 2) / 2);
const u256 = (value: bigint) => value.toString(16).padStart(64, '0');

describe('the digest of a transfer', () => {
  it('is the one viem hashes', () => {
    const { types, primaryType, domain, message } = transferTypedData(NETWORK, TRANSFER);
    const theirs = hashTypedData({ types, primaryType, domain, message } as never);
    assert.equal(`0x${toHex(transferDigest(NETWORK, TRANSFER))}`, theirs);
  });

  it('differs by network and by every field', () => {
    const others: Transfer[] = [
      { ...TRANSFER, from: TO },
      { ...TRANSFER, to: FROM },
      { ...TRANSFER, amount: 124n },
      { ...TRANSFER, nonce: 5n },
      { ...TRANSFER, expiry: 1_900_000_001n },
    ];
    const digests = others.map((other) => toHex(transferDigest(NETWORK, other)));
    digests.push(
      toHex(transferDigest(new Uint8Array(32), TRANSFER)),
      toHex(transferDigest(NETWORK, TRANSFER)),
    );
    assert.equal(new Set(digests).size, 7);
  });
});

describe('the signer of a transfer', () => {
  const digest = transferDigest(NETWORK, TRANSFER);

  it('is recovered from what viem, ethers and MetaMask sign', async () => {
    assert.equal(recoverAddress(bytes(await viemSign()), digest), FROM);
    const { EIP712Domain: _, ...types } = transferTypedData(NETWORK, TRANSFER).types;
    const { domain, message } = transferTypedData(NETWORK, TRANSFER);
    const signature = await new Wallet(SECRET).signTypedData(domain, types, message);
    assert.equal(recoverAddress(bytes(signature), digest), FROM);
    const data = transferTypedData(NETWORK, TRANSFER);
    const privateKey = Buffer.from(SECRET.slice(2), 'hex');
    const theirs = signTypedData({ privateKey, data: data as never, version: SignTypedDataVersion.V4 });
    assert.equal(recoverAddress(bytes(theirs), digest), FROM);
  });

  it('is another, or nobody, for every other form of the signature', async () => {
    const good = toHex(bytes(await viemSign()));
    const [r, s, v] = [good.slice(0, 64), good.slice(64, 128), good.slice(128)];
    const refused: Record<string, string> = {
      'high-S twin': r + u256(N - BigInt(`0x${s}`)) + (v === '1b' ? '1c' : '1b'),
      'v of 0': `${r + s}00`,
      'v of 1': `${r + s}01`,
      'v of 29': `${r + s}1d`,
      'v of 35': `${r + s}23`,
      'without v': r + s,
      'one byte more': `${good}00`,
      'r of 0': u256(0n) + s + v,
      'r of n': u256(N) + s + v,
      'r above n': u256(N + 1n) + s + v,
      's of 0': r + u256(0n) + v,
      's of n': r + u256(N) + v,
      's of n/2 and one': r + u256((N - 1n) / 2n + 1n) + v,
      'r that is on no point': u256(5n) + s + v,
      empty: '',
    };
    for (const [what, hex] of Object.entries(refused))
      assert.equal(recoverAddress(fromHex(hex, hex.length / 2), digest), undefined, what);
    const flipped = r + s + (v === '1b' ? '1c' : '1b');
    assert.notEqual(recoverAddress(fromHex(flipped, 65), digest), FROM, 'the other v');
    assert.notEqual(recoverAddress(fromHex(r + u256((N - 1n) / 2n) + v, 65), digest), FROM, 's of n/2');
    assert.equal(recoverAddress(fromHex(good, 65), digest.subarray(1)), undefined, 'a digest of 31 bytes');
  });
});

describe('the form of a transfer', () => {
  const request: TransferRequest = {
    from: FROM.toLowerCase(),
    to: TO,
    amount: '123',
    nonce: '4',
    expiry: '1900000000',
    signature: `0x${'0'.repeat(130)}`,
  };
  const refused = (code: string, change: Partial<TransferRequest>) =>
    assert.throws(
      () => parseTransfer({ ...request, ...change }),
      (error) => error instanceof PoolError && error.code === code,
      `${code} ${JSON.stringify(change)}`,
    );

  it('gives the fields', () => {
    assert.deepEqual(parseTransfer(request), { transfer: TRANSFER, signature: new Uint8Array(65) });
  });

  it('AMOUNT', () => {
    const bad = ['', '0', '-1', '+1', '1.0', '1e3', '0x10', '01', ' 1', '١', `${2n ** 64n}`, '9'.repeat(30)];
    for (const amount of bad) refused('AMOUNT', { amount });
  });

  it('TRANSFER_FORM', () => {
    refused('TRANSFER_FORM', { to: FROM });
    refused('TRANSFER_FORM', { nonce: '-1' });
    refused('TRANSFER_FORM', { nonce: `${2n ** 53n}` });
    refused('TRANSFER_FORM', { expiry: '1900000000000' });
  });

  it('ADDRESS', () => {
    refused('ADDRESS', { to: TO.replace('C', 'c') });
    refused('ADDRESS', { from: '0x1234' });
  });

  it('SIGNATURE', () => {
    refused('SIGNATURE', { signature: '0x12' });
    refused('SIGNATURE', { signature: 'z'.repeat(132) });
  });
});
