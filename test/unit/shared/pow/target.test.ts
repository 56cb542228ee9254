import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fromHex } from '#shared/crypto/bytes.ts';
import {
  bitsFromTarget,
  DIFFICULTY_ONE_TARGET,
  difficultyOfTarget,
  expectedHashes,
  MAX_TARGET,
  meetsTarget,
  targetFromBits,
} from '#shared/pow/target.ts';

interface Vectors {
  readonly valid: { bits: number; target: string; expectedHashes: string }[];
  readonly refused: { bits: number; why: string }[];
  readonly rounded: { target: string; bits: number }[];
}

const VECTORS = new URL('../../../vectors/pow-bits.json', import.meta.url);
const { valid, refused, rounded }: Vectors = JSON.parse(readFileSync(VECTORS, 'utf8'));

const targets = fc
  .tuple(fc.nat(255), fc.bigInt({ min: 1n, max: MAX_TARGET }))
  .map(([shift, value]) => (value >> BigInt(shift)) + (value >> BigInt(shift) === 0n ? 1n : 0n));
const bytesOf = (value: bigint) => fromHex(value.toString(16).padStart(64, '0'), 32);

describe('targetFromBits', () => {
  it('gives the targets of the vectors', () => {
    assert.ok(valid.length > 10);
    for (const { bits, target } of valid) assert.equal(targetFromBits(bits), BigInt(`0x${target}`));
  });

  it('BLOCK_ENCODING: refuses zero, negative, too large and other than the shortest form', () => {
    assert.ok(refused.length > 10);
    for (const { bits, why } of refused) {
      assert.throws(() => targetFromBits(bits), { code: 'BLOCK_ENCODING' }, `${bits.toString(16)}: ${why}`);
    }
  });

  it('BLOCK_ENCODING: refuses what is not an unsigned 32-bit integer', () => {
    for (const bits of [
      -1,
      2 ** 32,
      2 ** 32 + 0x1d00ffff,
      486604799.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
    ]) {
      assert.throws(() => targetFromBits(bits), { code: 'BLOCK_ENCODING' });
    }
  });

  it('accepts exactly the forms that bitsFromTarget writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (bits) => {
        let target: bigint;
        try {
          target = targetFromBits(bits);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'BLOCK_ENCODING');
          return;
        }
        assert.equal(bitsFromTarget(target), bits);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('bitsFromTarget', () => {
  it('gives the bits of the vectors', () => {
    for (const { target, bits } of rounded) assert.equal(bitsFromTarget(BigInt(`0x${target}`)), bits);
  });

  it('rounds down by less than one part in 2^15, and is stable', () => {
    fc.assert(
      fc.property(targets, (target) => {
        const bits = bitsFromTarget(target);
        const back = targetFromBits(bits);
        assert.ok(back <= target && (target - back) << 15n <= target);
        assert.equal(bitsFromTarget(back), bits);
      }),
      { numRuns: 2000 },
    );
  });

  it('keeps the order of targets', () => {
    fc.assert(
      fc.property(targets, targets, (a, b) => {
        if (a <= b) assert.ok(targetFromBits(bitsFromTarget(a)) <= targetFromBits(bitsFromTarget(b)));
      }),
    );
  });

  it('BLOCK_ENCODING: refuses zero, negative and more than 256 bits', () => {
    for (const target of [0n, -1n, MAX_TARGET + 1n]) {
      assert.throws(() => bitsFromTarget(target), { code: 'BLOCK_ENCODING' });
    }
  });
});

describe('meetsTarget', () => {
  it('reads the hash big-endian and includes the target itself', () => {
    fc.assert(
      fc.property(targets, targets, (hash, target) => {
        assert.equal(meetsTarget(bytesOf(hash), target), hash <= target);
        assert.equal(meetsTarget(bytesOf(target), target), true);
      }),
    );
    assert.equal(meetsTarget(bytesOf(1n << 255n), (1n << 255n) - 1n), false);
  });

  it('BLOCK_HASH: refuses another length', () => {
    for (const length of [0, 31, 33]) {
      assert.throws(() => meetsTarget(new Uint8Array(length), MAX_TARGET), { code: 'BLOCK_HASH' });
    }
  });
});

describe('expectedHashes', () => {
  it('gives the values of the vectors', () => {
    for (const { bits, expectedHashes: expected } of valid)
      assert.equal(expectedHashes(bits), BigInt(expected));
  });
});

describe('difficultyOfTarget', () => {
  it('is 1 at difficulty 1 and grows as the target falls, past 2^31 and 2^53', () => {
    assert.equal(difficultyOfTarget(DIFFICULTY_ONE_TARGET), 1);
    for (const shift of [1n, 31n, 32n, 53n, 64n, 200n]) {
      assert.equal(difficultyOfTarget(DIFFICULTY_ONE_TARGET >> shift), Number(1n << shift));
    }
    assert.ok(difficultyOfTarget(MAX_TARGET) > 0 && difficultyOfTarget(MAX_TARGET) < 1e-9);
    assert.ok(Number.isFinite(difficultyOfTarget(1n)));
  });

  it('BLOCK_ENCODING: refuses what is no target', () => {
    for (const target of [0n, -5n, MAX_TARGET + 1n]) {
      assert.throws(() => difficultyOfTarget(target), { code: 'BLOCK_ENCODING' });
    }
  });
});
