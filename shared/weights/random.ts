/** A stream of uniform numbers in [0, 1) with 32 bits each. */
export type Uniform = () => number;

/**
 * Seeded generator from 32-bit integer operations alone, so that every machine and engine draws the same
 * numbers. A Weyl sequence (odd increment, period 2³²) through a bijective mixer of xor-shifts and odd
 * multiplications. For data order, sampling and initial weights; not for secrets.
 */
export function seededUniform(seed: number): Uniform {
  let state = mix((seed >>> 0) ^ (Math.floor(seed / 2 ** 32) >>> 0));
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return mix(state) / 2 ** 32;
  };
}

/** Whole number in [0, limit). The bias is below limit / 2³². */
export function below(uniform: Uniform, limit: number): number {
  return Math.floor(uniform() * limit);
}

/** The permutation of 0..count-1 that `uniform` draws (Fisher–Yates). */
export function shuffled(uniform: Uniform, count: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = below(uniform, i + 1);
    const held = order[i]!;
    order[i] = order[j]!;
    order[j] = held;
  }
  return order;
}

function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
  return (h ^ (h >>> 15)) >>> 0;
}
