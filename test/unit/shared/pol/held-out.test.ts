import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sign } from '#shared/crypto/keys.ts';
import { holdsOut } from '#shared/pol/held-out.ts';
import { type HeldOutTarget, verifyHeldOut } from '#shared/pol/held-out-evidence.ts';
import type { Loss } from '#shared/pol/sequential.ts';
import { attestationDigest } from '#shared/protocol/attestation.ts';
import { META, NETWORK, SECOND_WORKER, WORKER } from '#test/helpers/forge.ts';
import { readVectors } from '#test/helpers/vectors.ts';

interface Case {
  network: Uint8Array;
  submission: Uint8Array;
  root: Uint8Array;
  baseRoot: Uint8Array;
  candidateRoot: Uint8Array;
  windows: number[];
  base: Loss[];
  candidate: Loss[];
  delta: number;
  holds: boolean;
  digest: Uint8Array;
}
const { heldOut } = readVectors<{ heldOut: Case[] }>('pol');

test('what holds out and what is signed of it are those of the vectors', () => {
  for (const { network, root, base, candidate, delta, holds, digest, ...target } of heldOut) {
    assert.equal(holdsOut(base, candidate, delta), holds, `${base} → ${candidate} at ${delta}`);
    const about = { ...target, head: root.map((byte) => byte ^ 1), heldOut: root };
    assert.deepEqual(attestationDigest(network, about, { base, candidate }), digest);
  }
});

test('the mean counts, not each window', () => {
  const base = [5_000_000, 4_000_000, 6_000_000];
  assert.ok(holdsOut(base, [4_998_000, 4_001_000, 5_999_500], 1_000));
});

test('LOSS_NOT_FINITE and ATTESTATION: what is no loss, and lists that do not fit', () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5])
    assert.throws(() => holdsOut([5, 6], [5, bad], 0), { code: 'LOSS_NOT_FINITE' });
  assert.throws(() => holdsOut([5, 6], [5], 0), { code: 'ATTESTATION' });
  assert.throws(() => holdsOut([], [], 0), { code: 'ATTESTATION' });
});

const filled = (byte: number) => new Uint8Array(32).fill(byte);
const target: HeldOutTarget = {
  submission: filled(1),
  root: filled(2),
  baseRoot: filled(3),
  candidateRoot: filled(4),
  windows: [32, 33],
  deltaMicroNats: 2_000,
};
const { quorum } = META.manifest;
const by = (
  { secretKey, publicKey }: typeof WORKER,
  candidate: Loss[],
  about: HeldOutTarget = target,
  base: Loss[] = [5_000_000, 5_000_000],
) => {
  const signed = { ...about, head: about.root, heldOut: about.root };
  const signature = sign(attestationDigest(NETWORK, signed, { base, candidate }), secretKey);
  return { worker: publicKey, backend: 'none', base, candidate, signature };
};
const verify = (...attestations: ReturnType<typeof by>[]) =>
  verifyHeldOut(NETWORK, target, { attestations, quorum });

test('a quorum says whether it holds; each of its results must', () => {
  assert.ok(verify(by(WORKER, [4_999_000, 4_999_000]), by(SECOND_WORKER, [4_998_998, 4_999_001])));
  assert.ok(!verify(by(WORKER, [4_999_000, 4_999_000]), by(SECOND_WORKER, [4_999_001, 4_999_001])));
  assert.ok(!verify(by(WORKER, [null, 4_000_000]), by(SECOND_WORKER, [null, 4_000_000])));
});

test('BLOCK_CERTIFICATE: too few workers, one twice, results that do not agree or are not signed as they stand', () => {
  const good = by(WORKER, [4_999_000, 4_999_000]);
  const other = by(SECOND_WORKER, [4_999_000, 4_999_000]);
  const bad = [
    [good],
    [good, good],
    [good, by(SECOND_WORKER, [4_999_000, 4_999_100])],
    [good, { ...other, candidate: [4_000_000, 4_000_000] }],
    [good, { ...other, worker: WORKER.publicKey }],
    [good, by(SECOND_WORKER, [4_999_000, 4_999_000], { ...target, windows: [31, 32] })],
    [good, by(SECOND_WORKER, [4_999_000, 4_999_000], { ...target, root: filled(9) })],
    [good, by(SECOND_WORKER, [4_999_000, 4_999_000], { ...target, baseRoot: filled(9) })],
    [good, by(SECOND_WORKER, [4_999_000], target, [5_000_000])],
  ];
  for (const attestations of bad) assert.throws(() => verify(...attestations), { code: 'BLOCK_CERTIFICATE' });
});
