import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, it } from 'node:test';
import { promisify } from 'node:util';
import { writeModelFolder } from '#test/helpers/model-folder.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TINY_TEXT, TinyPool } from '#test/helpers/tiny-pool.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { type TrainEvent, type TrainModelOptions, trainModel } from '#worker/train/train-model.ts';
import { folderSource, poolSource, type TrainSource } from '#worker/train/train-source.ts';

const dir = await tempDir();
const file = join(dir, 'text.txt');
await writeFile(file, TINY_TEXT);
const model = await writeModelFolder(join(dir, 'model'));
const never = new AbortController().signal;

const options = (out: string, changes: Partial<TrainModelOptions> = {}): TrainModelOptions => ({
  out: join(dir, out),
  force: false,
  file,
  batch: 2,
  accumulate: 1,
  learningRate: 0.005,
  warmup: 2,
  totalSteps: 12,
  seed: 1,
  only: [],
  saveMs: 60_000,
  ...changes,
});

async function train(source: TrainSource, wanted: TrainModelOptions, signal = never): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  await trainModel(source, wanted, { report: (event) => events.push(event), now: Date.now, signal });
  return events;
}

const lossesOf = (events: readonly TrainEvent[]) =>
  events.flatMap((event) => (event.type === 'step' ? [event.loss] : []));
const weightsIn = (out: string) => readFile(join(dir, out, 'model.safetensors'));

before(() => startBackend('wasm'));

it('writes a folder that is a model again, better than before', async () => {
  const source = await folderSource(model);
  const losses = lossesOf(await train(source, options('first')));
  assert.equal(losses.length, 12);
  const trained = await folderSource(join(dir, 'first'));
  assert.deepEqual(
    trained.refs.map(({ name, dtype }) => [name, dtype]),
    source.refs.map(({ name, dtype }) => [name, dtype]),
  );
  assert.notEqual(trained.root, source.root);
  const again = lossesOf(await train(trained, options('second', { totalSteps: 1 })));
  assert.ok(again[0]! < losses[0]! - 0.1, `${losses[0]} to ${again[0]}`);
});

it('interrupted and begun again, it ends with the same bytes', async () => {
  const source = await folderSource(model);
  const checkpoint = join(dir, 'state');
  const stop = new AbortController();
  const events: TrainEvent[] = [];
  const report = (event: TrainEvent) => {
    events.push(event);
    if (event.type === 'step' && event.step === 5) stop.abort();
  };
  await trainModel(source, options('resumed', { checkpoint }), {
    report,
    now: Date.now,
    signal: stop.signal,
  });
  assert.deepEqual(events.at(-1)?.type, 'checkpoint');
  await assert.rejects(stat(join(dir, 'resumed')), { code: 'ENOENT' });
  const resumed = await train(source, options('resumed', { checkpoint }));
  assert.equal(lossesOf(resumed).length, 7);
  assert.deepEqual(await weightsIn('resumed'), await weightsIn('first'));
});

it('trains the head of a pool, chosen tensors alone', async () => {
  const pool = new TinyPool();
  const source = await poolSource({ api: pool, payloads: pool }, never);
  await train(source, options('pool', { only: ['transformer.ln_f.*'] }));
  const trained = await folderSource(join(dir, 'pool'));
  const before = new Map(source.refs.map(({ name, hash }) => [name, hash]));
  const changed = trained.refs.filter(({ name, hash }) => before.get(name) !== hash).map(({ name }) => name);
  assert.deepEqual(changed.sort(), ['transformer.ln_f.bias', 'transformer.ln_f.weight']);
});

it('OPTION: a folder that is not empty, before anything is trained', async () => {
  const source = await folderSource(model);
  await assert.rejects(train(source, options('model')), { code: 'OPTION' });
});

it('LOSS_NOT_FINITE where training has blown up', async () => {
  const source = await folderSource(model);
  source.tensors.get('transformer.ln_f.bias')?.fill(Number.NaN);
  await assert.rejects(train(source, options('nan', { totalSteps: 100 })), { code: 'LOSS_NOT_FINITE' });
});

it('is a command', async () => {
  const cli = new URL('../../../coordinator/cli/aiblock.mjs', import.meta.url).pathname;
  const flags = ['--backend', 'wasm', '--steps', '3', '--file', file, '--json', '--lr', '0.001'];
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...[
      cli,
      'train',
      '--model',
      model,
      '--out',
      join(dir, 'command'),
      '--only',
      '*.ln_f.*',
      '--only',
      '*.wpe.*',
    ],
    ...flags,
  ]);
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(events.find(({ type }) => type === 'ready').trained, 3);
  assert.equal(events.at(-1).type, 'written');
  assert.ok((await stat(join(dir, 'command', 'config.json'))).size > 0);
});
