import assert from 'node:assert/strict';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { roughWeights, smallConfig } from '#test/helpers/tensors.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { Checkpoint } from '#worker/train/checkpoint.ts';
import { Training, type TrainingOptions } from '#worker/train/training.ts';

const dir = await tempDir();
const config = smallConfig({ n_embd: 24 });
const text = Uint16Array.from({ length: 700 }, (_, i) => (i * 7 + ((i * i) % 5)) % config.vocabulary);
const start = { config, tensors: roughWeights(config, 1), root: 'ab'.repeat(32), text };
const options = (folder: string, changes: Partial<TrainingOptions> = {}): TrainingOptions => ({
  batch: 2,
  accumulate: 2,
  learningRate: 0.01,
  warmup: 3,
  totalSteps: 50,
  seed: 5,
  only: [],
  checkpoint: join(dir, folder),
  ...changes,
});

async function run(training: Training, steps: number): Promise<number[]> {
  const losses: number[] = [];
  while (losses.length < steps) losses.push((await training.step()).loss);
  return losses;
}

/** A run of some steps with its checkpoint in `folder`. */
async function begun(folder: string, changes: Partial<TrainingOptions> = {}): Promise<Checkpoint> {
  const training = await Training.begin(start, options(folder, changes));
  await run(training, 3);
  await training.save();
  training.dispose();
  return (await Checkpoint.find(join(dir, folder))) as Checkpoint;
}

describe('Training', () => {
  before(() => startBackend('wasm'));

  for (const only of [[], ['*.1.*', '*wpe*']])
    it(`goes on from a checkpoint to the same bits, ${only.join() || 'all tensors'}`, async () => {
      const folder = `same-${only.length}`;
      const whole = await Training.begin(start, options('none', { only }));
      const expected = await run(whole, 40);
      const first = await Training.begin(start, options(folder, { only }));
      const losses = await run(first, 17);
      await first.save();
      first.dispose();
      const checkpoint = await Checkpoint.find(join(dir, folder));
      assert.equal(checkpoint?.progress.steps, 17);
      const second = await Training.begin(start, options(folder, { only }), checkpoint);
      losses.push(...(await run(second, 23)));
      assert.deepEqual(losses, expected);
      assert.deepEqual(await second.trainer.weights(), await whole.trainer.weights());
      whole.dispose();
      second.dispose();
    });

  it('has no checkpoint before one was written, and leaves nothing else in the folder', async () => {
    assert.equal(await Checkpoint.find(join(dir, 'empty')), undefined);
    await begun('one');
    assert.deepEqual(await readdir(join(dir, 'one')), ['checkpoint.safetensors']);
  });

  it('CHECKPOINT: refuses one of another run, and says what differs', async () => {
    const checkpoint = await begun('mine');
    const begin = (changes: Partial<TrainingOptions>, from = start) =>
      Training.begin(from, options('mine', changes), checkpoint);
    await assert.rejects(begin({ seed: 6 }), { code: 'CHECKPOINT', message: /seed 5, this run has 6/ });
    await assert.rejects(begin({ batch: 3 }), { code: 'CHECKPOINT', message: /batch/ });
    await assert.rejects(begin({ only: ['*wte*'] }), { code: 'CHECKPOINT', message: /other tensors/ });
    await assert.rejects(begin({}, { ...start, root: 'cd'.repeat(32) }), {
      code: 'CHECKPOINT',
      message: /root/,
    });
    await assert.rejects(begin({}, { ...start, text: text.slice(1) }), {
      code: 'CHECKPOINT',
      message: /text/,
    });
    (await begin({ totalSteps: 90 })).dispose();
  });

  it('CHECKPOINT: refuses a damaged file', async () => {
    const { path } = await begun('good');
    const bytes = await readFile(path);
    const damages: [string, Uint8Array][] = [
      ['empty', new Uint8Array(0)],
      ['short', bytes.subarray(0, -1)],
      ['changed', bytes.with(bytes.length - 2, (bytes.at(-2) as number) ^ 1)],
      [
        'other',
        Buffer.from(bytes.toString('latin1').replace('aiblock_training', 'aiblock_tr4ining'), 'latin1'),
      ],
    ];
    for (const [name, content] of damages) {
      const folder = join(dir, `bad-${name}`);
      await mkdir(folder);
      await writeFile(join(folder, 'checkpoint.safetensors'), content);
      const resume = async () => Training.begin(start, options('good'), await Checkpoint.find(folder));
      await assert.rejects(resume(), { code: 'CHECKPOINT' }, name);
    }
    await copyFile(path, join(dir, 'bad-empty', 'checkpoint.safetensors'));
    assert.ok(await Checkpoint.find(join(dir, 'bad-empty')));
  });

  it('OPTION: a pattern that fits no tensor, with the nearest names', async () => {
    await assert.rejects(
      Training.begin(start, options('x', { only: ['transformer.h.1.atn.c_attn.weight'] })),
      {
        code: 'OPTION',
        message: /transformer\.h\.1\.attn\.c_attn\.weight/,
      },
    );
  });
});
