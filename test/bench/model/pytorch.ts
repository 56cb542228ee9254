import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { type ModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { safetensorsHeader } from '#shared/weights/safetensors.ts';
import type { Bench } from '#test/bench/model/section.ts';
import {
  benchBatch,
  benchWeights,
  GPT_124M,
  gptConfig,
  millions,
  seconds,
} from '#test/bench/model/shapes.ts';
import { Model } from '#worker/model/model.ts';

const SCRIPT = fileURLToPath(new URL('./pytorch-losses.py', import.meta.url));
const WINDOWS = 8;
const TIME = 128;
const ROUNDS = 6;
const PYTORCH_SECONDS = 10;
const GOALS: Readonly<Record<string, number>> = { tensorflow: 0.7 };

/**
 * Losses of the same windows with the same weights and threads by PyTorch, of the Python that PYTHON names. Without
 * PyTorch and transformers there the row has no anchor.
 */
export async function rows({ backend, row }: Bench): Promise<void> {
  const config = gptConfig(GPT_124M);
  const threads = backend === 'wasm' ? 1 : availableParallelism();
  const model = await Model.load(config, benchWeights(config));
  const batch = benchBatch(config, WINDOWS, TIME);
  let [best, mean] = [0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    const took = await seconds(async () => {
      const losses = await model.losses(batch, TIME);
      mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    });
    best = Math.max(best, batch.ids.length / took);
  }
  model.dispose();
  const python = await askPytorch(config, batch, threads);
  row({
    metric: `losses of ${WINDOWS} windows of ${TIME}, ${millions(config)}, ${threads} threads`,
    value: best,
    unit: 'tokens/s',
    ...(python && { anchor: { name: `PyTorch ${python.version}`, value: python.tokensPerSecond } }),
    ...(python && GOALS[backend] && { goal: { on: 'ratio', atLeast: GOALS[backend] } }),
  });
  if (python) row({ metric: 'difference from the mean loss of PyTorch', ...microNats(mean - python.loss) });
}

function microNats(nats: number) {
  const goal = { on: 'value', atMost: 10 } as const;
  return { value: Math.abs(nats) * 1e6, unit: 'micro-nats', goal };
}

interface Answer {
  /** Of its fastest evaluation. */
  readonly tokensPerSecond: number;
  /** Mean over all tokens, in nats. */
  readonly loss: number;
  readonly version: string;
}

async function askPytorch(
  config: ModelConfig,
  { ids, labels }: { ids: Int32Array; labels: Int32Array },
  threads: number,
): Promise<Answer | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'aiblock-bench-'));
  try {
    await writeModel(config, folder);
    const tokens = { ids: inWindows(ids), labels: inWindows(labels) };
    await writeFile(join(folder, 'tokens.json'), JSON.stringify(tokens));
    const python = process.env.PYTHON || 'python3';
    const child = spawn(python, [SCRIPT, folder, String(threads), String(PYTORCH_SECONDS)], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const ended = new Promise<boolean>((resolve) => {
      child.once('error', () => resolve(false));
      child.once('close', (code) => resolve(code === 0));
    });
    const output = await text(child.stdout);
    return (await ended) ? (JSON.parse(output) as Answer) : undefined;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function inWindows(values: Int32Array): number[][] {
  return Array.from({ length: WINDOWS }, (_, row) => [...values.subarray(row * TIME, (row + 1) * TIME)]);
}

/** A folder as transformers reads it, with the weights of our own rows. */
async function writeModel(config: ModelConfig, folder: string): Promise<void> {
  const { layers, heads, width, context, vocabulary, normEpsilon } = config;
  const sizes = {
    n_layer: layers,
    n_head: heads,
    n_embd: width,
    n_positions: context,
    vocab_size: vocabulary,
  };
  const rest = { layer_norm_epsilon: normEpsilon, activation_function: 'gelu_new' };
  const json = { model_type: 'gpt2', architectures: ['GPT2LMHeadModel'], ...sizes, ...rest };
  await writeFile(join(folder, 'config.json'), JSON.stringify(json));
  const tensors = [...tensorShapes(config)].map(([name, shape]) => ({ name, shape, dtype: 'F32' as const }));
  // Both in the order of the names.
  const { header } = safetensorsHeader(tensors);
  await pipeline(
    Readable.from(
      (function* () {
        yield header;
        for (const { bytes } of benchWeights(config)) yield bytes;
      })(),
    ),
    createWriteStream(join(folder, 'model.safetensors')),
  );
}
