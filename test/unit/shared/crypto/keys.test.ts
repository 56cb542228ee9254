import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type DigestKind, digest } from '#shared/crypto/digest.ts';
import { addressOf, isPublicKey, keyPair, parseAddress, sign, verifySignature } from '#shared/crypto/keys.ts';
import { recoverAddress } from '#shared/crypto/recover.ts';
import { verifyOneOfMany } from '#shared/crypto/verify-many.ts';
import { flipBit, readVectors } from '#test/helpers/vectors.ts';

interface Signed {
  signature: Uint8Array;
  digest: Uint8Array;
  key: Uint8Array;
}
const vectors = readVectors<{
  digests: { kind: DigestKind; network: Uint8Array; parts: Uint8Array[]; digest: Uint8Array }[];
  signatures: {
    secret: Uint8Array;
    public: Uint8Array;
    address: string;
    digest: Uint8Array;
    signature: Uint8Array;
  }[];
  addresses: string[];
  accepted: Signed;
  refused: (Signed & { why: string })[];
  /** At the ends of what r, s and digest can be; `recoverable` as Ethereum's wallets have it, where they can. */
  edges: (Signed & { why: string; valid: boolean; address: string; recoverable: Uint8Array | null })[];
}>('signature');

test('digests are those of the vectors', () => {
  for (const { kind, network, parts, digest: expected } of vectors.digests)
    assert.deepEqual(digest(kind, network, ...parts), expected, kind);
});

test('keys, addresses and signatures are those of the vectors', () => {
  for (const { secret, public: publicKey, address, digest: signed, signature } of vectors.signatures) {
    assert.deepEqual(keyPair(secret), { secretKey: secret, publicKey, address });
    assert.equal(addressOf(publicKey), address);
    assert.deepEqual(sign(signed, secret), signature);
    assert.ok(verifySignature(signature, signed, publicKey));
  }
});

/** Two implementations of one rule. */
const IMPLEMENTATIONS = { verifySignature, verifyOneOfMany };

for (const [name, verify] of Object.entries(IMPLEMENTATIONS)) {
  test(`${name}: the signature that the refused ones were made from is accepted`, () => {
    const { signature, digest: signed, key } = vectors.accepted;
    assert.ok(verify(signature, signed, key));
  });

  for (const { why, signature, digest: signed, key } of vectors.refused) {
    test(`SIGNATURE: ${name} refuses ${why}`, () => {
      assert.equal(verify(signature, signed, key), false);
    });
  }

  for (const { why, valid, signature, digest: signed, key } of vectors.edges) {
    test(`${name} ${valid ? 'takes' : 'refuses'} ${why}`, () => {
      assert.equal(verify(signature, signed, key), valid);
    });
  }

  test(`${name}: every changed bit of signature, digest or key is refused`, () => {
    const { signature, digest: signed, key } = vectors.accepted;
    for (let bit = 0; bit < 64 * 8; bit += 3) assert.ok(!verify(flipBit(signature, bit), signed, key));
    for (let bit = 0; bit < 32 * 8; bit += 3) assert.ok(!verify(signature, flipBit(signed, bit), key));
    for (let bit = 0; bit < 33 * 8; bit += 3) assert.ok(!verify(signature, signed, flipBit(key, bit)));
  });

  test(`${name}: arbitrary bytes are refused without an exception`, () => {
    const bytes = fc.uint8Array({ maxLength: 70 });
    fc.assert(
      fc.property(bytes, bytes, bytes, (signature, signed, key) => {
        assert.equal(verify(signature, signed, key), false);
      }),
    );
  });
}

test('recoverAddress finds the signer of every edge that has one form, and of no other', () => {
  for (const { why, valid, address, recoverable, signature, digest: signed } of vectors.edges) {
    if (recoverable) assert.equal(recoverAddress(recoverable, signed), valid ? address : undefined, why);
    // Any other v names another key, or none; a point of x ≥ n has no v at all.
    for (const v of [0, 1, 26, 29, 30, 31, 255])
      assert.equal(recoverAddress(Uint8Array.of(...signature, v), signed), undefined, `${why}, v ${v}`);
    for (const v of [27, 28])
      if (v !== recoverable?.[64])
        assert.notEqual(recoverAddress(Uint8Array.of(...signature, v), signed), address, `${why}, v ${v}`);
  }
});

test('recoverAddress refuses what no key signed, without an exception', () => {
  for (const { why, signature, digest: signed } of vectors.refused)
    for (const v of [27, 28]) {
      const found = recoverAddress(Uint8Array.of(...signature, v), signed);
      const isWhole = signature.length === 64 && signed.length === 32;
      assert.ok(found === undefined || (isWhole && /^0x/.test(found)), why);
      if (/^(r|s) |high-S|DER|bytes|infinity/.test(why) && !/key/.test(why) && why !== 'r and s swapped')
        assert.equal(found, undefined, why);
    }
  const bytes = fc.uint8Array({ maxLength: 70 });
  fc.assert(
    fc.property(bytes, bytes, (signature, signed) => {
      if (signature.length !== 65) assert.equal(recoverAddress(signature, signed), undefined);
    }),
  );
});

test('property: what is signed verifies, and nothing else', () => {
  const secrets = fc.bigInt({ min: 1n, max: 2n ** 255n });
  fc.assert(
    fc.property(secrets, fc.uint8Array({ minLength: 32, maxLength: 32 }), (n, signed) => {
      const pair = keyPair(Buffer.from(n.toString(16).padStart(64, '0'), 'hex'));
      const signature = sign(signed, pair.secretKey);
      for (const verify of Object.values(IMPLEMENTATIONS)) {
        assert.ok(verify(signature, signed, pair.publicKey));
        assert.ok(!verify(signature, flipBit(signed, 0), pair.publicKey));
      }
      assert.ok((signature[32] as number) < 0x80, 'low-S');
    }),
    { numRuns: 10 },
  );
});

test('public keys: points of the curve in compressed form alone', () => {
  assert.ok(isPublicKey(vectors.accepted.key));
  for (const { why, key } of vectors.refused.filter(
    ({ why }) => why.startsWith('a key') || why.includes('compressed'),
  ))
    assert.ok(!isPublicKey(key), why);
});

test('OPTION: a secret key of zero, of the order, above it, or of another length', () => {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const bytes = (n: bigint) => Buffer.from(n.toString(16).padStart(64, '0'), 'hex');
  for (const bad of [
    bytes(0n),
    bytes(order),
    bytes(order + 1n),
    bytes(2n ** 256n - 1n),
    bytes(1n).subarray(1),
  ])
    assert.throws(() => keyPair(bad), { code: 'OPTION' });
});

test('INTERNAL: nothing but a digest is signed', () => {
  for (const length of [0, 31, 33, 64])
    assert.throws(() => sign(new Uint8Array(length), vectors.signatures[0]!.secret), { code: 'INTERNAL' });
});

test('addresses are read in checksummed or lower case', () => {
  for (const address of vectors.addresses) {
    assert.equal(parseAddress(address), address);
    assert.equal(parseAddress(address.toLowerCase()), address);
  }
});

test('ADDRESS: a wrong checksum, another length, prefix or alphabet', () => {
  const address = vectors.addresses[0] as string;
  const bad = [
    '',
    '0x',
    address.slice(2),
    address.slice(0, -1),
    `${address}0`,
    ` ${address}`,
    `${address}\n`,
    address.replace('0x', '0X'),
    address.toUpperCase().replace('0X', '0x'),
    address.replace(/[a-f]/, (c) => c.toUpperCase()),
    `0x${'g'.repeat(40)}`,
    `0x${'０'.repeat(40)}`,
  ];
  for (const text of bad) assert.throws(() => parseAddress(text), { code: 'ADDRESS' }, JSON.stringify(text));
});

test('ADDRESS: a mistyped digit is told, and never given the checksum that would make it good', () => {
  const address = vectors.addresses[0] as string;
  const mistyped = address.replace(/[0-9](?=[^0-9]*$)/, (digit) => `${(Number(digit) + 1) % 10}`);
  assert.throws(
    () => parseAddress(mistyped),
    ({ code, message }: Error & { code: string }) => {
      const [shown, ...others] = message.match(/0x[0-9a-fA-F]{40}/g) ?? [];
      return code === 'ADDRESS' && /mistyped/.test(message) && shown === mistyped && others.length === 0;
    },
  );
});
