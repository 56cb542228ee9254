import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyPair } from '#shared/crypto/keys.ts';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { claimOf, signSubmission, submissionId } from '#shared/protocol/submission.ts';
import { verifySubmission } from '#shared/protocol/verify-submission.ts';
import type { TensorRef } from '#shared/weights/model-root.ts';
import { readVectors } from '#test/helpers/vectors.ts';

interface Case {
  secret: Uint8Array;
  network: Uint8Array;
  base: Uint8Array;
  meta: Uint8Array;
  text: string;
  id: Uint8Array;
  tensors: TensorRef[];
  salt?: Uint8Array;
  claim?: Uint8Array;
}
const { submissions } = readVectors<{ submissions: Case[] }>('submission');
const several = submissions[1] as Case;

test('ids and signed texts are those of the vectors, whatever the order of the tensors', () => {
  for (const { secret, network, base, meta, text, id, tensors, salt } of submissions) {
    const key = keyPair(secret);
    const content = { base, meta, tensors, salt };
    assert.deepEqual(signSubmission(network, content, key), { id, text });
    assert.deepEqual(signSubmission(network, { ...content, tensors: [...tensors].reverse() }, key), {
      id,
      text,
    });
    const read = verifySubmission(network, text);
    assert.deepEqual(read.id, id);
    assert.deepEqual(read.manifest.miner, key.publicKey);
    assert.deepEqual(
      read.manifest.tensors.map(({ signature: _, ...tensor }) => tensor),
      tensors,
    );
    assert.deepEqual(read.manifest.salt, salt);
    assert.deepEqual(submissionId(network, read.manifest), id);
  }
});

test('the salt is no part of the id, and opens the claim of the vectors', () => {
  const { network, secret, base, meta, tensors, id, salt, claim } = several;
  assert.ok(salt);
  assert.deepEqual(signSubmission(network, { base, meta, tensors }, keyPair(secret)).id, id);
  assert.deepEqual(claimOf(network, id, salt), claim);
});

type Json = Record<string, unknown> & { tensors: Record<string, unknown>[] };
const altered = (change: (json: Json) => unknown) => {
  const json = JSON.parse(several.text) as Json;
  return JSON.stringify(change(json) ?? json);
};
const tensor = (change: object) =>
  altered((j) => ({ ...j, tensors: j.tensors.with(1, { ...j.tensors[1], ...change }) }));
const other = submissions[0] as Case;

const REFUSED: [string, ErrorCode, string][] = [
  ['no JSON', 'BAD_REQUEST', several.text.slice(1)],
  ['a bare text', 'BAD_REQUEST', '"x"'],
  ['a hundred thousand levels', 'BAD_REQUEST', '['.repeat(100_000) + ']'.repeat(100_000)],
  ['another version', 'BAD_REQUEST', altered((j) => ({ ...j, v: 2 }))],
  ['an unknown key', 'BAD_REQUEST', altered((j) => ({ ...j, extra: 1 }))],
  ['__proto__', 'BAD_REQUEST', several.text.replace('{', '{"__proto__":{},')],
  ['no signature', 'BAD_REQUEST', altered((j) => ({ ...j, signature: undefined }))],
  ['an upper-case key', 'BAD_REQUEST', altered((j) => ({ ...j, miner: String(j.miner).toUpperCase() }))],
  ['a signature of 65 bytes', 'BAD_REQUEST', altered((j) => ({ ...j, signature: `${j.signature}00` }))],
  ['a shape of zero', 'BAD_REQUEST', tensor({ shape: [0] })],
  ['a shape of fractions', 'BAD_REQUEST', tensor({ shape: [1.5] })],
  ['an empty name', 'BAD_REQUEST', tensor({ name: '' })],
  ['an unknown dtype', 'WEIGHTS_DTYPE', tensor({ dtype: 'F64' })],
  ['another dtype', 'SIGNATURE', tensor({ dtype: 'F16' })],
  ['another shape', 'SIGNATURE', tensor({ shape: [3] })],
  ['another name', 'SIGNATURE', tensor({ name: 'x' })],
  ['another hash', 'SIGNATURE', tensor({ hash: '00'.repeat(32) })],
  [
    'a signature of another tensor',
    'SIGNATURE',
    tensor({ signature: (JSON.parse(several.text) as Json).tensors[0]!.signature }),
  ],
  ['a tensor less', 'SIGNATURE', altered((j) => void j.tensors.pop())],
  ['a tensor twice', 'WEIGHTS_NAMES', altered((j) => void j.tensors.push(j.tensors[0]!))],
  ['another base', 'SIGNATURE', altered((j) => ({ ...j, base: '00'.repeat(32) }))],
  ['another Meta block', 'SIGNATURE', altered((j) => ({ ...j, meta: '00'.repeat(32) }))],
  ['another miner', 'SIGNATURE', altered((j) => ({ ...j, miner: JSON.parse(other.text).miner }))],
  ['a key of 33 zero bytes', 'SIGNATURE', altered((j) => ({ ...j, miner: '00'.repeat(33) }))],
];
for (const [what, code, text] of REFUSED) {
  test(`${code}: ${what}`, () => {
    assert.throws(
      () => verifySubmission(several.network, text),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, code);
        return error.message.length < 500;
      },
    );
  });
}

test('SIGNATURE: a submission to another network', () => {
  assert.throws(() => verifySubmission(new Uint8Array(32), several.text), { code: 'SIGNATURE' });
});

test('WEIGHTS_NAMES: more tensors than there can be, before any signature is checked', () => {
  const { length } = several.tensors;
  verifySubmission(several.network, several.text, length);
  assert.throws(() => verifySubmission(new Uint8Array(32), several.text, length - 1), {
    code: 'WEIGHTS_NAMES',
  });
});
