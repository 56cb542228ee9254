import * as tf from '@tensorflow/tfjs';
import type { LlamaConfig } from '#shared/weights/model-config.ts';
import type { Rotation } from '#worker/model/kernels/kernels.ts';

const f32 = Math.fround;

/**
 * Angles of rotary positions (Su et al. 2021): pair i of a head of D values turns by θ^(−2i/D) a token.
 * Rounded to float32 where transformers does, since an angle of thousands of radians keeps few digits.
 */
export function rotationAt(positions: Int32Array, { headDim, rope }: LlamaConfig): Rotation {
  const frequencies = rotaryFrequencies(headDim, rope);
  const pairs = frequencies.length;
  const cos = new Float32Array(positions.length * pairs);
  const sin = new Float32Array(positions.length * pairs);
  for (const [row, position] of positions.entries()) {
    for (const [i, frequency] of frequencies.entries()) {
      const angle = f32(position * frequency);
      cos[row * pairs + i] = Math.cos(angle);
      sin[row * pairs + i] = Math.sin(angle);
    }
  }
  const shape: [number, number] = [positions.length, pairs];
  return { cos: tf.tensor2d(cos, shape), sin: tf.tensor2d(sin, shape) }; // [n,D/2]
}

/** Radians a token of each pair, [D/2], with the stretching that the config asks for. */
export function rotaryFrequencies(headDim: number, { theta, scaling }: LlamaConfig['rope']): Float32Array {
  const plain = Float32Array.from(
    { length: headDim / 2 },
    (_, i) => 1 / f32(theta ** f32((2 * i) / headDim)),
  );
  if (scaling.kind === 'none') return plain;
  if (scaling.kind === 'linear') return plain.map((frequency) => frequency / scaling.factor);
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
  return plain.map((frequency) => {
    const turns = f32(originalContext / f32(f32(2 * Math.PI) / frequency)); // within the original context
    if (turns < low) return frequency / factor;
    if (turns > high) return frequency;
    const share = f32(f32(turns - low) / f32(high - low)); // between the two: a bit of both
    return f32(f32(f32(1 - share) * frequency) / factor) + f32(share * frequency);
  });
}
