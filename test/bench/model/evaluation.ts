import { parameterCount } from '#shared/weights/model-config.ts';
import type { Bench } from '#test/bench/model/section.ts';
import {
  benchBatch,
  benchWeights,
  GPT_12M,
  GPT_124M,
  gptConfig,
  LLAMA_135M,
  MATMUL,
  matmulGflops,
  millions,
  seconds,
} from '#test/bench/model/shapes.ts';
import { Model } from '#worker/model/model.ts';

const CASES = [
  { config: gptConfig(GPT_12M), windows: 4, time: 256, rounds: 6 },
  { config: gptConfig(GPT_124M), windows: 2, time: 256, rounds: 4 },
  { config: LLAMA_135M, windows: 2, time: 256, rounds: 4 },
];

/** Losses of windows, 2 operations a parameter and token. */
export async function rows({ backend, row }: Bench): Promise<void> {
  for (const { config, windows, time, rounds } of CASES) {
    const model = await Model.load(config, benchWeights(config));
    const batch = benchBatch(config, windows, time);
    let [best, matmul] = [0, 0];
    for (let round = 0; round < rounds; round++) {
      matmul = Math.max(matmul, await matmulGflops());
      const took = await seconds(() => model.losses(batch, time));
      best = Math.max(best, (2 * parameterCount(config) * batch.ids.length) / took / 1e9);
    }
    model.dispose();
    row({
      metric: `loss evaluation, ${config.family} of ${millions(config)}, ${windows} windows of ${time}`,
      value: best,
      unit: 'GFLOP/s',
      anchor: { name: MATMUL, value: matmul },
      ...(backend === 'wasm' && { goal: { on: 'value', atLeast: 15 } }),
    });
  }
}
