import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nativeSha256 } from '#coordinator/ledger/native-sha256.ts';
import { plainSha256 } from '#shared/crypto/digest.ts';

test('is the SHA-256 of the protocol, of any number of parts', () => {
  const parts = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 });
  fc.assert(
    fc.property(parts, (list) => {
      assert.deepEqual(nativeSha256(...list), plainSha256(...list));
    }),
  );
  const long = new Uint8Array(10_000).fill(7);
  assert.deepEqual(nativeSha256(long, long), plainSha256(long, long));
});

test('keeps no digest for the next', () => {
  const first = nativeSha256(Uint8Array.of(1));
  const copy = first.slice();
  nativeSha256(Uint8Array.of(2));
  assert.deepEqual(first, copy);
});
