import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bodyHash,
  decodeMetaBody,
  decodeParameterBody,
  encodeBody,
  type MetaBody,
  type ParameterBody,
} from '#shared/block/body.ts';
import { type CborValue, encodeCbor } from '#shared/block/cbor.ts';
import { MAX_LOSS_MICRO_NATS } from '#shared/pol/gate.ts';
import { flipBit, readVectors } from '#test/helpers/vectors.ts';

interface Case<T> {
  value: T;
  bytes: Uint8Array;
  hash: Uint8Array;
}
const { parameter, meta } = readVectors<{ parameter: Case<ParameterBody>[]; meta: Case<MetaBody>[] }>('body');

test('Parameter bodies are those of the vectors, both ways', () => {
  for (const { value, bytes, hash } of parameter) {
    assert.deepEqual(encodeBody(value), bytes);
    assert.deepEqual(decodeParameterBody(bytes), value);
    assert.deepEqual(bodyHash(bytes), hash);
  }
});

test('Meta bodies are those of the vectors, both ways', () => {
  for (const { value, bytes, hash } of meta) {
    assert.deepEqual(encodeBody(value), bytes);
    assert.deepEqual(decodeMetaBody(bytes), value);
    assert.deepEqual(bodyHash(bytes), hash);
  }
});

test('every changed bit and every missing byte is refused or read as another body', () => {
  for (const { value, bytes } of parameter) {
    for (let bit = 0; bit < bytes.length * 8; bit++) checkChanged(flipBit(bytes, bit), value, `bit ${bit}`);
    for (let at = 0; at < bytes.length; at++) {
      const without = Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(at + 1));
      checkChanged(without, value, `without byte ${at}`);
    }
    checkChanged(Uint8Array.of(...bytes, 0), value, 'one byte more');
  }
});

function checkChanged(bytes: Uint8Array, before: ParameterBody, what: string): void {
  let decoded: ParameterBody;
  try {
    decoded = decodeParameterBody(bytes);
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'BLOCK_ENCODING', `${what}: ${error}`);
    return;
  }
  assert.deepEqual(encodeBody(decoded), bytes, what);
  assert.notDeepEqual(decoded, before, what);
}

const part = parameter[0]!.value;
const sealed = parameter[2]!.value;
const seal = sealed.seal!;
const certificate = seal.certificate!;
const attestation = certificate.attestations[0]!;
const withAttestation = (change: object) => ({
  ...sealed,
  seal: { ...seal, certificate: { ...certificate, attestations: [{ ...attestation, ...change }] } },
});

const refused: [string, object][] = [
  ['another version', { ...part, v: 2 }],
  ['no version', { ...part, v: undefined }],
  ['an unknown key', { ...part, extra: 1 }],
  ['a key __proto__', Object.fromEntries([...Object.entries(part), ['__proto__', 1]])],
  ['an unknown key in the seal', { ...sealed, seal: { ...seal, extra: 1 } }],
  ['a submission id of 31 bytes', { ...part, submission: new Uint8Array(31) }],
  ['a submission id that is a text', { ...part, submission: 'x' }],
  ['a negative part', { ...part, part: -1 }],
  ['a part of 2⁵³', { ...part, part: 2n ** 53n }],
  ['no parts', { ...part, parts: 0 }],
  ['an empty name', { ...part, name: '' }],
  ['a name of bytes', { ...part, name: new Uint8Array(3) }],
  ['an unknown dtype', { ...part, dtype: 'F64' }],
  ['a dtype that every object has', { ...part, dtype: 'toString' }],
  ['a size of zero', { ...part, shape: [0, 4] }],
  ['a negative size', { ...part, shape: [-4] }],
  ['a shape that is no list', { ...part, shape: 4 }],
  ['a seal of null', { ...part, seal: null }],
  ['no salt', { ...sealed, seal: { ...seal, salt: undefined } }],
  ['no certificate', { ...sealed, seal: { ...seal, certificate: undefined } }],
  ['no attestations', { ...sealed, seal: { ...seal, certificate: { ...certificate, attestations: [] } } }],
  ['a loss below zero', withAttestation({ base: [-1] })],
  ['a loss above the cap', withAttestation({ candidate: [MAX_LOSS_MICRO_NATS + 1] })],
  ['a loss of null', withAttestation({ candidate: [null] })],
  ['a long backend name', withAttestation({ backend: 'x'.repeat(41) })],
  ['a signature of 65 bytes', withAttestation({ signature: new Uint8Array(65) })],
];
for (const [what, body] of refused) {
  test(`BLOCK_ENCODING: a Parameter body with ${what}`, () => {
    assert.throws(() => decodeParameterBody(encodeCbor(body as CborValue)), { code: 'BLOCK_ENCODING' });
  });
}

test('BLOCK_ENCODING: a Meta body where a Parameter body is expected, and the reverse', () => {
  assert.throws(() => decodeParameterBody(meta[0]!.bytes), { code: 'BLOCK_ENCODING' });
  assert.throws(() => decodeMetaBody(parameter[0]!.bytes), { code: 'BLOCK_ENCODING' });
});
