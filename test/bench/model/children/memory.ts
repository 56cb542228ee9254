import { readFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  benchBatch,
  benchWeights,
  GPT_12M,
  GPT_124M,
  type GptShape,
  gptConfig,
} from '#test/bench/model/shapes.ts';
import { weightFiles } from '#test/bench/model/weight-files.ts';
import { type BackendName, startBackend } from '#worker/model/backend/start.ts';
import { Model } from '#worker/model/model.ts';

/*
 * A process of whose memory something is measured: `load DIR`: by how many bytes it was larger while it loaded
 * the weights; `flat SHAPE EVALUATIONS`: its size after a tenth of the evaluations and after all of them.
 */

const TINY: GptShape = { layers: 2, width: 64, heads: 4, context: 64, vocabulary: 512 };
const SHAPES: Readonly<Record<string, GptShape>> = { tiny: TINY, '12M': GPT_12M };

const [backend, what, ...rest] = process.argv.slice(2) as [BackendName, string, string, string];
await startBackend(backend);
process.send?.(what === 'load' ? await peakWhileLoading(rest[0]) : await sizes(rest[0], Number(rest[1])));
process.disconnect();

async function peakWhileLoading(dir: string): Promise<number> {
  const config = gptConfig(GPT_124M);
  const before = process.memoryUsage.rss();
  const model = await Model.load(config, weightFiles(config, dir));
  // TensorFlow takes a tensor's values when an operation first wants them.
  await model.losses(benchBatch(config, 1, 4), 4);
  const peak = await peakBytes();
  model.dispose();
  return peak - before;
}

/** `maxRSS` begins with the size of the process that started this one. */
async function peakBytes(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const kilobytes = /VmHWM:\s+(\d+) kB/.exec(status)?.[1];
  return (kilobytes === undefined ? process.resourceUsage().maxRSS : Number(kilobytes)) * 1024;
}

async function sizes(shape: string, evaluations: number): Promise<[number, number]> {
  const config = gptConfig(SHAPES[shape] as GptShape);
  const model = await Model.load(config, benchWeights(config));
  const batch = benchBatch(config, 2, config.context);
  let early = 0;
  for (let i = 1; i <= evaluations; i++) {
    await model.losses(batch, batch.time);
    await nextTurn();
    if (i === Math.ceil(evaluations / 10)) early = process.memoryUsage.rss();
  }
  return [early, process.memoryUsage.rss()];
}
