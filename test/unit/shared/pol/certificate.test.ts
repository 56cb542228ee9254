import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Manifest } from '#shared/block/manifest.ts';
import { verifyCertificate, windowsOf } from '#shared/pol/certificate.ts';
import { gateRule } from '#shared/pol/rule.ts';
import { commitmentDigest } from '#shared/protocol/attestation.ts';
import { attest, META, NETWORK, SECOND_WORKER, WORKER } from '#test/helpers/forge.ts';
import { readVectors } from '#test/helpers/vectors.ts';

const { stages, commitments } = readVectors<{
  stages: {
    network: Uint8Array;
    submission: Uint8Array;
    head: Uint8Array;
    salt: Uint8Array;
    total: number;
    looks: number[];
    windows: number[];
  }[];
  commitments: {
    network: Uint8Array;
    windows: number[];
    base: number[];
    candidate: (number | null)[];
    nonce: Uint8Array;
    worker: Uint8Array;
    commitment: Uint8Array;
  }[];
}>('pol');

test('windows by look are those of the vectors', () => {
  for (const { network, total, looks, windows, ...judged } of stages) {
    const rule = { deltaMicroNats: 0, zMilli: 3_000, looks, hopelessZMilli: 4_000 };
    assert.deepEqual(windowsOf(network, judged, { total, rule }), windows);
  }
});

test('commitments are those of the vectors, and bind losses, windows, nonce and key', () => {
  for (const { network, worker, commitment, ...result } of commitments) {
    assert.deepEqual(commitmentDigest(network, result, worker), commitment);
    const others = [
      { ...result, windows: [...result.windows].reverse() },
      { ...result, base: result.base.map((loss) => loss + 1) },
      { ...result, candidate: result.candidate.map((loss) => (loss === null ? 0 : null)) },
      { ...result, nonce: result.nonce.map((byte) => byte ^ 1) },
    ];
    for (const other of others) assert.notDeepEqual(commitmentDigest(network, other, worker), commitment);
    const mirrored = worker.map((byte, i) => (i === 0 ? byte ^ 1 : byte));
    assert.notDeepEqual(commitmentDigest(network, result, mirrored), commitment);
  }
});

/** Looks at 2, 4 and 8 of the 12 windows of the vectors' Meta block; δ halves after each block. */
const manifest: Manifest = {
  ...META.manifest,
  gate: {
    delta_micro_nats: 2_000,
    z_milli: 3_000,
    windows: 8,
    early: { looks: [2, 4], hopeless_z_milli: 4_000 },
    decay: { blocks: 1, keep_bp: 5_000, floor_micro_nats: 100 },
  },
};
const filled = (value: number) => new Uint8Array(32).fill(value);
const judged = {
  submission: filled(1),
  head: filled(2),
  height: 0,
  salt: filled(3),
  baseRoot: filled(4),
  candidateRoot: filled(5),
};
const all = windowsOf(NETWORK, judged, { total: 12, rule: gateRule(manifest, 0) });

/** A certificate of two workers that looked at so many windows, and found these gains. */
function certificateOf(
  counts: readonly [number, number],
  gain: (i: number, worker: number) => number,
  windows = all.slice(0, Math.max(...counts)),
) {
  const attestations = [WORKER, SECOND_WORKER].map((worker, w) => {
    const own = all.slice(0, counts[w]);
    const losses = { base: own.map(() => 9_000), candidate: own.map((_, i) => 9_000 - gain(i, w)) };
    return attest(worker, { ...judged, windows: own }, losses);
  });
  return { head: judged.head, windows, attestations };
}
const verify = (certificate: ReturnType<typeof certificateOf>, of: Partial<typeof judged> = {}) =>
  verifyCertificate(NETWORK, { ...judged, ...of }, { certificate, manifest });
const refused = (certificate: ReturnType<typeof certificateOf>, message: RegExp) =>
  assert.throws(() => verify(certificate), { code: 'BLOCK_CERTIFICATE', message });

/** Steady, but for the rounding of the one worker. */
const steady = (i: number, worker: number) => 6_000 + (worker === 1 && i % 2 ? 3 : 0);

test('a certificate that stops at the look of the half holds', () => {
  const verdict = verify(certificateOf([4, 4], steady));
  assert.deepEqual([verdict.stop, verdict.windows, verdict.meanGainMicroNats], ['clear', 4, 6_000]);
});

test('BLOCK_CERTIFICATE: losses that end before the look that decides, behind it, or between looks', () => {
  refused(certificateOf([2, 2], steady), /up to the look that decides/);
  refused(certificateOf([8, 8], steady), /up to the look that decides, 4, got 8/);
  refused(certificateOf([3, 3], steady), /one of the looks 2, 4, 8/);
  refused(certificateOf([4, 4], steady, all.slice(0, 2)), /windows do not follow/);
  refused(certificateOf([4, 4], steady, [...all.slice(0, 4)].reverse()), /windows do not follow/);
});

test('BLOCK_CERTIFICATE: what is hopeless, or hopeless for one of them', () => {
  refused(
    certificateOf([2, 2], () => 0),
    /the gate does not hold/,
  );
  refused(
    certificateOf([4, 2], (i, worker) => (worker ? 0 : steady(i, 0))),
    /differ by more than/,
  );
});

test('BLOCK_CERTIFICATE: losses that lean one way, though each is within the tolerance', () => {
  const leaning = (by: number) =>
    certificateOf([4, 4], (i, worker) => 6_000 + (i % 2) + (worker === 1 ? by : 0));
  assert.ok(verify(leaning(5)).passed);
  refused(leaning(6), /half of it on the mean/);
});

test('delta is that of the head it was judged on', () => {
  const small = certificateOf([4, 4], () => 1_500);
  refused(
    certificateOf([2, 2], () => 1_500),
    /the gate does not hold/,
  );
  assert.ok(verify(small, { height: 1 }).passed);
});
