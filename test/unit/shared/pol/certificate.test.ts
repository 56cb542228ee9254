import assert from 'node:assert/strict';
import { test } from 'node:test';
import { windowsOf } from '#shared/pol/certificate.ts';
import { commitmentDigest } from '#shared/protocol/attestation.ts';
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
