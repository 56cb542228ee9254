import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { seededUniform } from '#shared/weights/random.ts';
import { gradientsOf, type TokenBatch, type Values, valuesOf } from '#test/helpers/model-passes.ts';
import { type ModelVector, readModelVectors } from '#test/helpers/model-vectors.ts';
import { randomIds } from '#test/helpers/tensors.ts';
import { Model } from '#worker/model/model.ts';
import { fromValues } from '#worker/model/weight-set.ts';

/*
 * Gradients against differences of losses on the plain JavaScript backend, along directions that hold a part of the
 * gradient: there the loss moves far more than float32 rounds. Step and order are where the error is least
 * (measured): shorter steps drown in rounding, longer ones in curvature.
 */
const STEP = 0.03;
const TOLERANCE = 2e-5;
/** For one tensor alone the loss moves less. */
const TENSOR_TOLERANCE = 1e-3;
const ROUNDING = 2e-5;

/** A change of some weights, of length 1. */
type Direction = ReadonlyMap<string, Float32Array>;

for (const vector of readModelVectors()) {
  describe(`gradients of ${vector.name}`, () => {
    before(() => tf.setBackend('cpu'));

    it('are the slopes of the loss along random halves of them', async () => {
      const subject = new Subject(vector, 16);
      const gradients = await subject.gradients();
      const uniform = seededUniform(5);
      for (let i = 0; i < 2; i++) {
        const half = unit(map(gradients, (x) => (uniform() < 0.5 ? x : 0)));
        const [expected, slope] = [product(gradients, half), await subject.slope(half)];
        assert.ok(Math.abs(slope / expected - 1) <= TOLERANCE, `expected ${slope}, got ${expected}`);
      }
    });

    it('are the slopes by every tensor alone', async () => {
      const subject = new Subject(vector, 1);
      const gradients = await subject.gradients();
      const all = Math.sqrt(product(gradients, gradients));
      for (const [name, gradient] of gradients) {
        const alone = new Map([[name, gradient]]);
        const expected = Math.sqrt(product(alone, alone));
        const error = Math.abs((await subject.slope(unit(alone))) - expected);
        const limit = TENSOR_TOLERANCE * expected + ROUNDING * all;
        assert.ok(error <= limit, `${name}: off by ${error} of ${expected}`);
      }
    });
  });
}

/** A model with a batch. */
class Subject {
  readonly #vector: ModelVector;
  readonly #values: Values;
  readonly #batch: TokenBatch;

  constructor(vector: ModelVector, sequences: number) {
    const time = 16;
    const { vocabulary } = vector.config;
    this.#vector = vector;
    this.#values = valuesOf(vector.tensors);
    this.#batch = {
      ids: randomIds(sequences * time, 1, vocabulary),
      labels: randomIds(sequences * time, 2, vocabulary),
      time,
    };
  }

  gradients(): Promise<Direction> {
    return gradientsOf(this.#vector.config, this.#values, this.#batch);
  }

  /** Central differences of three steps, extrapolated twice (Richardson): the error is of sixth order. */
  async slope(direction: Direction): Promise<number> {
    const [d1, d2, d4] = [
      await this.#difference(direction, STEP),
      await this.#difference(direction, STEP / 2),
      await this.#difference(direction, STEP / 4),
    ] as const;
    const [coarse, fine] = [(4 * d2 - d1) / 3, (4 * d4 - d2) / 3];
    return (16 * fine - coarse) / 15;
  }

  async #difference(direction: Direction, step: number): Promise<number> {
    return ((await this.#loss(direction, step)) - (await this.#loss(direction, -step))) / (2 * step);
  }

  /** The mean in float64 of the losses with the weights moved by `step`. */
  async #loss(direction: Direction, step: number): Promise<number> {
    const moved = new Map(this.#values);
    for (const [name, change] of direction) {
      moved.set(
        name,
        this.#values.get(name)!.map((x, i) => x + step * change[i]!),
      );
    }
    const model = await Model.load(this.#vector.config, fromValues(moved));
    const losses = await model.losses(this.#batch, this.#batch.time);
    model.dispose();
    return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  }
}

function map(direction: Direction, change: (x: number) => number): Direction {
  return new Map([...direction].map(([name, values]) => [name, values.map(change)]));
}

function unit(direction: Direction): Direction {
  const length = Math.sqrt(product(direction, direction));
  return map(direction, (x) => x / length);
}

function product(a: Direction, b: Direction): number {
  let sum = 0;
  for (const [name, values] of b) {
    const others = a.get(name)!;
    for (const [i, x] of values.entries()) sum += x * others[i]!;
  }
  return sum;
}
