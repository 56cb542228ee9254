import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { type LlamaConfig, parseModelConfig } from '#shared/weights/model-config.ts';
import { assertClose } from '#test/helpers/tensors.ts';
import { readVectors } from '#test/helpers/vectors.ts';
import { rotaryFrequencies, rotationAt } from '#worker/model/rotation.ts';

interface RotaryVector {
  readonly name: string;
  readonly config: object;
  readonly frequencies: string;
  readonly positions: readonly number[];
  readonly cos: string;
  readonly sin: string;
}

const floats = (base64: string) => new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer);

describe('rotary positions', () => {
  before(() => tf.setBackend('cpu'));

  for (const vector of readVectors<RotaryVector[]>('models/rotary')) {
    const config = parseModelConfig(vector.config) as LlamaConfig;

    it(`turn as fast as in transformers, to the bit: ${vector.name}`, () => {
      const { headDim, rope } = config;
      assert.deepEqual(rotaryFrequencies(headDim, rope), floats(vector.frequencies));
    });

    it(`point the same way at the end of the context: ${vector.name}`, () => {
      const { cos, sin } = rotationAt(Int32Array.from(vector.positions), config);
      // Two roundings of values up to 1.
      assertClose(cos.dataSync(), floats(vector.cos), { what: 'cos', tolerance: 2 ** -23 });
      assertClose(sin.dataSync(), floats(vector.sin), { what: 'sin', tolerance: 2 ** -23 });
      tf.dispose([cos, sin]);
    });
  }
});
