import { benchBatch, benchWeights, GPT_12M, gptConfig, seconds } from '#test/bench/model/shapes.ts';
import { type BackendName, startBackend } from '#worker/model/backend/start.ts';
import { Model } from '#worker/model/model.ts';

/* A process that evaluates: on each message, so many batches; it answers with its tokens per second. */

const WINDOWS = 4;
const TIME = 256;

const config = gptConfig(GPT_12M);
await startBackend(process.argv[2] as BackendName);
const model = await Model.load(config, benchWeights(config));
const batch = benchBatch(config, WINDOWS, TIME);

process.on('message', async (batches: number) => {
  const took = await seconds(async () => {
    for (let i = 0; i < batches; i++) await model.losses(batch, TIME);
  });
  process.send?.((batches * WINDOWS * TIME) / took);
});
process.send?.('ready');
