import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { seededUniform } from '#shared/weights/random.ts';
import { allLogits, gradientsOf, valuesOf } from '#test/helpers/model-passes.ts';
import { type ModelVector, readModelVectors, readSlopes } from '#test/helpers/model-vectors.ts';
import { onBackend, randomIds } from '#test/helpers/tensors.ts';
import { Model } from '#worker/model/model.ts';
import { leastBudget } from '#worker/model/streamed-weights.ts';

const LOGIT_TOLERANCE = 1e-4;
/** 10 micro-nats. */
const LOSS_TOLERANCE = 1e-5;
/** Length of the difference of two gradients by the length of one. */
const GRADIENT_TOLERANCE = 1e-5;
const GREEDY_TOKENS = 12;

/**
 * What every model does on every backend: the logits of transformers for each checkpoint of test/vectors/models, with
 * and without a cache, the losses, tokens and gradients of the plain JavaScript backend, and the slopes that moving
 * the weights in float64 gives.
 */
export function describeModels(backend: string, start: () => Promise<unknown>): void {
  for (const vector of readModelVectors()) {
    describe(`${vector.name} on ${backend}`, () => {
      before(async () => {
        await start();
        assert.equal(tf.getBackend(), backend);
      });

      it('has the logits of transformers after every token', () => checkLogits(vector));
      it('has them token by token with a cache', () => checkCached(vector));
      it('has them for sequences of different lengths side by side', () => checkTogether(vector));
      it('has the losses of transformers', () => checkLosses(vector));
      it('has them layer by layer, in the least memory', () => checkStreamed(vector));
      it('takes the greedy tokens of the plain backend', () => checkGreedy(vector));
      it('has the gradients of the plain backend', () => checkGradients(vector));
      it('has gradients with the slopes of differences in float64', () => checkSlopes(vector));
    });
  }
}

async function withModel(vector: ModelVector, work: (model: Model) => Promise<void>): Promise<void> {
  const tensors = tf.memory().numTensors;
  const model = await Model.load(vector.config, vector.tensors);
  try {
    await work(model);
  } finally {
    model.dispose();
  }
  assert.equal(tf.memory().numTensors, tensors, 'tensors left behind');
}

async function checkLogits({ config, tensors, sequences }: ModelVector): Promise<void> {
  for (const { ids, logits } of sequences) {
    const ours = await allLogits(config, valuesOf(tensors), ids);
    assertWithin(ours, logits, { what: `${ids.length} tokens`, tolerance: LOGIT_TOLERANCE });
  }
}

function checkCached(vector: ModelVector): Promise<void> {
  return withModel(vector, async (model) => {
    for (const { ids, logits } of vector.sequences) {
      const sequence = model.newSequence();
      for (const [at, id] of ids.entries()) {
        const [ours] = await model.next([{ sequence, ids: [id] }]);
        const what = `token ${at} of ${ids.length}`;
        assertWithin(ours!, rowOf(logits, at, model), { what, tolerance: LOGIT_TOLERANCE });
      }
      model.disposeSequence(sequence);
    }
  });
}

/** Each sequence in two pieces, all of them in one pass: some begin where others go on. */
function checkTogether(vector: ModelVector): Promise<void> {
  return withModel(vector, async (model) => {
    const going = vector.sequences.map(({ ids, logits }) => ({ sequence: model.newSequence(), ids, logits }));
    const [first, ...rest] = going;
    const cut = (ids: readonly number[]) => Math.floor(ids.length / 3);
    await model.next(rest.map(({ sequence, ids }) => ({ sequence, ids: ids.slice(0, cut(ids)) })));
    const last = await model.next([
      ...rest.map(({ sequence, ids }) => ({ sequence, ids: ids.slice(cut(ids)) })),
      { sequence: first!.sequence, ids: first!.ids },
    ]);
    for (const [i, { ids, logits }] of [...rest, first!].entries()) {
      const expected = rowOf(logits, ids.length - 1, model);
      assertWithin(last[i]!, expected, { what: `${ids.length} tokens`, tolerance: LOGIT_TOLERANCE });
    }
    for (const { sequence } of going) model.disposeSequence(sequence);
  });
}

function checkLosses(vector: ModelVector): Promise<void> {
  return withModel(vector, async (model) => {
    for (const { ids, losses } of vector.sequences.filter(({ ids }) => ids.length > 1)) {
      const batch = { ids: ids.slice(0, -1), labels: ids.slice(1) };
      const ours = await model.losses(batch, ids.length - 1);
      assertWithin([mean(ours)], [mean(losses)], { what: `${ids.length} tokens`, tolerance: LOSS_TOLERANCE });
    }
  });
}

/** More than once round: memory that one layer leaves is the next one's. */
async function checkStreamed({ config, tensors, sequences }: ModelVector): Promise<void> {
  const model = await Model.load(config, tensors, leastBudget(config));
  for (let round = 0; round < 3; round++) {
    for (const { ids, losses } of sequences.filter(({ ids }) => ids.length > 1)) {
      const ours = await model.losses({ ids: ids.slice(0, -1), labels: ids.slice(1) }, ids.length - 1);
      assertWithin([mean(ours)], [mean(losses)], { what: `round ${round}`, tolerance: LOSS_TOLERANCE });
    }
  }
  model.dispose();
}

async function checkGreedy(vector: ModelVector): Promise<void> {
  const ours = await greedy(vector);
  assert.deepEqual(ours, await onBackend('cpu', () => greedy(vector)));
}

async function greedy({ config, tensors, sequences }: ModelVector): Promise<number[]> {
  const model = await Model.load(config, tensors);
  const sequence = model.newSequence();
  const made: number[] = [];
  for (let ids = sequences[1]!.ids; made.length < GREEDY_TOKENS; ids = made.slice(-1)) {
    const [logits] = await model.next([{ sequence, ids }]);
    made.push(logits!.indexOf(Math.max(...logits!)));
  }
  model.disposeSequence(sequence);
  model.dispose();
  return made;
}

async function checkGradients({ config, tensors }: ModelVector): Promise<void> {
  const time = 20;
  const batch = {
    ids: randomIds(2 * time, 1, config.vocabulary),
    labels: randomIds(2 * time, 2, config.vocabulary),
    time,
  };
  const values = valuesOf(tensors);
  const before = tf.memory().numTensors;
  const ours = await gradientsOf(config, values, batch);
  assert.equal(tf.memory().numTensors, before, 'tensors left behind');
  const expected = await onBackend('cpu', () => gradientsOf(config, values, batch));
  assert.deepEqual([...ours.keys()], [...expected.keys()]);
  for (const [name, gradient] of expected) {
    const error = length(ours.get(name)!.map((x, i) => x - gradient[i]!));
    // The bias of keys moves all scores of a row alike: its gradient is nothing but rounding.
    const size = name.endsWith('k_proj.bias')
      ? length(expected.get(name.replace('.bias', '.weight'))!)
      : length(gradient);
    assert.ok(
      error <= GRADIENT_TOLERANCE * size,
      `${name}: off by ${error} where the gradient is ${size} long`,
    );
  }
}

/** Their parts along directions over all weights, against what moving the weights did to the loss. */
async function checkSlopes({ name, config, tensors, sequences }: ModelVector): Promise<void> {
  const { ids } = sequences.at(-1)!;
  const batch = { ids: ids.slice(0, -1), labels: ids.slice(1), time: ids.length - 1 };
  const gradients = await gradientsOf(config, valuesOf(tensors), batch);
  for (const { seed, slope } of readSlopes(name)) {
    const error = Math.abs(along(gradients, seed) / slope - 1);
    assert.ok(error <= GRADIENT_TOLERANCE, `direction ${seed}: off by ${error} of ${slope}`);
  }
}

/** The part of a gradient along the signs that a seed draws for all weights, in name order. */
function along(gradients: ReadonlyMap<string, Float32Array>, seed: number): number {
  const uniform = seededUniform(seed);
  let sum = 0;
  let count = 0;
  for (const [, values] of [...gradients].sort(([a], [b]) => (a < b ? -1 : 1))) {
    for (const x of values) sum += uniform() < 0.5 ? x : -x;
    count += values.length;
  }
  return sum / Math.sqrt(count);
}

function rowOf(logits: Float32Array, row: number, { config }: Model): Float32Array {
  return logits.subarray(row * config.vocabulary, (row + 1) * config.vocabulary);
}

/** The largest difference stays within `tolerance`. */
function assertWithin(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { what, tolerance }: { what: string; tolerance: number },
): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!);
    assert.ok(error <= tolerance, `${what} [${i}]: expected ${expected[i]}, got ${actual[i]}`);
  }
}

function mean(values: ArrayLike<number>): number {
  return Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
}

function length(values: ArrayLike<number>): number {
  return Math.hypot(...Array.from(values));
}
