import { fork } from 'node:child_process';
import { once } from 'node:events';
import { parameterCount } from '#shared/weights/model-config.ts';
import type { Bench } from '#test/bench/model/section.ts';
import { GPT_124M, gptConfig, millions, seconds } from '#test/bench/model/shapes.ts';
import { weightFiles, withWeightFiles } from '#test/bench/model/weight-files.ts';
import { Model } from '#worker/model/model.ts';

const CHILD = new URL('./children/memory.ts', import.meta.url);
const MIB = 2 ** 20;
const ROUNDS = 4;
const TOKENS_A_ROUND = 6;

/** Memory while weights are loaded and over many evaluations; decoding with a part of the weights in memory. */
export async function rows(bench: Bench): Promise<void> {
  const config = gptConfig(GPT_124M);
  await withWeightFiles(config, async (dir) => {
    await loadingRow(bench, dir);
    await streamingRow(bench, dir);
  });
  await flatRow(bench, 'tiny', 1_000);
  await flatRow(bench, '12M', 50);
}

async function loadingRow({ backend, row }: Bench, dir: string): Promise<void> {
  const config = gptConfig(GPT_124M);
  const peak = (await measure([backend, 'load', dir])) as number;
  row({
    metric: `peak memory while loading, ${millions(config)}`,
    value: peak / MIB,
    unit: 'MiB',
    anchor: { name: 'weights in f32', value: (4 * parameterCount(config)) / MIB },
    goal: { on: 'ratio', atMost: 1.3 },
  });
}

async function flatRow({ backend, row }: Bench, shape: string, evaluations: number): Promise<void> {
  const [early, late] = (await measure([backend, 'flat', shape, String(evaluations)])) as [number, number];
  row({
    metric: `memory after ${evaluations} evaluations, ${shape} model`,
    value: late / MIB,
    unit: 'MiB',
    anchor: { name: `after ${Math.ceil(evaluations / 10)}`, value: early / MIB },
    goal: { on: 'ratio', atMost: 1.05 },
  });
}

async function streamingRow({ row }: Bench, dir: string): Promise<void> {
  const config = gptConfig(GPT_124M);
  const quarter = parameterCount(config);
  const best = { streamed: 0, resident: 0 };
  const streamed = await Model.load(config, weightFiles(config, dir), quarter);
  const resident = await Model.load(config, weightFiles(config, dir));
  for (let round = 0; round < ROUNDS; round++) {
    best.streamed = Math.max(best.streamed, await tokensPerSecond(streamed));
    best.resident = Math.max(best.resident, await tokensPerSecond(resident));
  }
  streamed.dispose();
  resident.dispose();
  row({
    metric: `decoding with a quarter of the weights in memory, ${millions(config)}`,
    value: best.streamed,
    unit: 'tokens/s',
    anchor: { name: 'with all of them', value: best.resident },
    goal: { on: 'ratio', atLeast: 0.25 },
  });
}

/** Of the fastest token: other load of the machine falls on both alike. */
async function tokensPerSecond(model: Model): Promise<number> {
  const sequence = model.newSequence();
  await model.next([{ sequence, ids: [1, 2, 3, 4] }]);
  let best = 0;
  for (let id = 0; id < TOKENS_A_ROUND; id++) {
    best = Math.max(best, 1 / (await seconds(() => model.next([{ sequence, ids: [id] }]))));
  }
  model.disposeSequence(sequence);
  return best;
}

async function measure(what: string[]): Promise<unknown> {
  const child = fork(CHILD, what);
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the measured process ended with ${code}`);
  });
  ended.catch(() => {});
  const [measured] = await Promise.race([once(child, 'message'), ended]);
  return measured;
}
