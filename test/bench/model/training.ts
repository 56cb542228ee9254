import { parameterCount } from '#shared/weights/model-config.ts';
import type { Bench } from '#test/bench/model/section.ts';
import {
  benchBatch,
  benchWeights,
  GPT_5M,
  GPT_12M,
  gptConfig,
  MATMUL,
  matmulGflops,
  millions,
  seconds,
} from '#test/bench/model/shapes.ts';
import { Trainer } from '#worker/train/trainer.ts';

const CASES = [
  { shape: GPT_5M, windows: 8, time: 128 },
  { shape: GPT_12M, windows: 4, time: 256 },
];
const ROUNDS = 5;

/** Whole training steps, loss, gradients, clipping and AdamW: 6 operations a parameter and token. */
export async function rows({ backend, row }: Bench): Promise<void> {
  for (const { shape, windows, time } of CASES) {
    const config = gptConfig(shape);
    const weights = new Map(
      [...benchWeights(config)].map(({ name, bytes }) => [name, new Float32Array(bytes.buffer)]),
    );
    const trainer = new Trainer(config, weights, { learningRate: 1e-4 });
    const batch = benchBatch(config, windows, time);
    let [best, matmul] = [0, 0];
    for (let round = 0; round < ROUNDS; round++) {
      matmul = Math.max(matmul, await matmulGflops());
      const took = await seconds(() => trainer.step(batch));
      best = Math.max(best, (6 * parameterCount(config) * batch.ids.length) / took / 1e9);
    }
    trainer.dispose();
    row({
      metric: `training step, ${millions(config)}, ${windows} windows of ${time}`,
      value: best,
      unit: 'GFLOP/s',
      anchor: { name: MATMUL, value: matmul },
      ...(backend === 'wasm' && { goal: { on: 'value', atLeast: 10 } }),
    });
  }
}
