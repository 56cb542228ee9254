import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WeightAverage } from '#worker/train/weight-average.ts';

/** Weights that swing between two values, one of them not trained. */
class Swinging {
  loaded: ReadonlyMap<string, Float32Array> | undefined;
  #reads = 0;

  async weights(): Promise<Map<string, Float32Array>> {
    this.#reads += 1;
    return new Map([
      ['swings', Float32Array.of(this.#reads % 2 === 0 ? 1 : 3)],
      ['stays', Float32Array.of(0.1)],
    ]);
  }

  load(weights: ReadonlyMap<string, Float32Array>): void {
    this.loaded = weights;
  }
}

const meanOf = async (average: WeightAverage, name: string) => (await average.weights()).get(name)?.[0];

test('weights that swing have their mean; those that stay are the same to the bit', async () => {
  const average = new WeightAverage(new Swinging());
  assert.equal(await meanOf(average, 'swings'), 3, 'as they are at first');
  for (let i = 0; i < 4_000; i++) await average.stepped();
  const mean = (await meanOf(average, 'swings')) as number;
  assert.ok(Math.abs(mean - 2) < 0.1, `${mean}`);
  assert.equal(await meanOf(average, 'stays'), Math.fround(0.1));
});

test('weights that are loaded are trained on and averaged from; what is handed out is a copy', async () => {
  const trainer = new Swinging();
  const average = new WeightAverage(trainer);
  for (let i = 0; i < 400; i++) await average.stepped();
  const fresh = new Map([['swings', Float32Array.of(7)]]);
  average.load(fresh);
  assert.equal(trainer.loaded, fresh);
  const copy = await average.weights();
  copy.get('swings')?.fill(0);
  assert.equal(await meanOf(average, 'swings'), 7);
});
