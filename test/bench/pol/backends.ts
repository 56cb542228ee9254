import { fork } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { devGenesis } from '#coordinator/chain/genesis/dev-genesis.ts';
import { BACKENDS } from '#shared/env.ts';
import { toFloat32 } from '#shared/weights/dtype.ts';
import { parseConfigText } from '#shared/weights/model-config.ts';
import { figure, type Report } from '#test/bench/report.ts';
import { SOFTWARE_GPU } from '#test/helpers/software-gpu.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { loadCorpus } from '#worker/train/corpus.ts';
import { Training } from '#worker/train/training.ts';

const CHILD = fileURLToPath(new URL('./children/losses.ts', import.meta.url));
/** As many as the first look has: a GPU in software takes seconds for each. */
const WINDOWS = 16;
/** A base and a candidate, as two blocks of a chain have them. */
const STEPS = { base: 20, candidate: 40 } as const;
const MOST_MICRO_NATS = 10;

/** The same weights on the same windows on every backend that is at hand: how far the losses lie from those of wasm. */
export async function benchBackends(report: Report): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'aiblock-bench-'));
  try {
    const files = await trained(folder);
    for (const [model, file] of Object.entries(files)) {
      const known = await lossesOn('wasm', file);
      for (const backend of BACKENDS.filter((name) => name !== 'wasm')) {
        const losses = await lossesOn(backend, file).catch((error: Error) => error.message);
        if (typeof losses === 'string') process.stderr.write(`${backend} is not at hand: ${losses}\n`);
        else
          report(
            figure({
              name: 'pol backends',
              metric: `${model}: largest difference of a window, ${backend} and wasm`,
              value: Math.max(...losses.map((loss, i) => Math.abs(loss - (known[i] as number)))),
              unit: 'micro-nats',
              goal: { on: 'value', atMost: MOST_MICRO_NATS },
            }),
          );
      }
      const again = await lossesOn('wasm', file);
      report(
        figure({
          name: 'pol backends',
          metric: `${model}: largest difference of a window, wasm and wasm`,
          value: Math.max(...again.map((loss, i) => Math.abs(loss - (known[i] as number)))),
          unit: 'micro-nats',
          goal: { on: 'value', atMost: 0 },
        }),
      );
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Trains the development model a little, and writes it down twice. */
async function trained(folder: string): Promise<Record<keyof typeof STEPS, string>> {
  await startBackend('wasm');
  const genesis = devGenesis();
  const { train: text } = await loadCorpus({ tokenizer: genesis.tokenizerJson, tokenizerConfig: undefined });
  const tensors = new Map(genesis.tensors.map(({ name, bytes }) => [name, toFloat32('F32', bytes)]));
  const start = { config: parseConfigText(genesis.configJson), tensors, root: '', text };
  const options = { batch: 8, accumulate: 1, totalSteps: 1_000, seed: 1, only: [] };
  const training = await Training.begin(start, options);
  const files = { base: join(folder, 'base'), candidate: join(folder, 'candidate') };
  try {
    for (let step = 1; step <= STEPS.candidate; step++) {
      await training.step();
      const parts = [...(await training.trainer.weights()).values()].map(bytesOf);
      if (step === STEPS.base) await writeFile(files.base, parts);
      if (step === STEPS.candidate) await writeFile(files.candidate, parts);
    }
  } finally {
    training.dispose();
  }
  return files;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** In a process of its own, since native code of one backend must not disturb another. */
function lossesOn(backend: string, file: string): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const child = fork(CHILD, [backend, file, String(WINDOWS)], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, ...(backend === 'webgpu' ? SOFTWARE_GPU : {}) },
    });
    let said = '';
    child.stderr?.on('data', (text: Buffer) => {
      said += text.toString();
    });
    child.once('message', (losses) => resolve(losses as number[]));
    child.once('exit', (code) =>
      reject(new Error(/\bBACKEND.*|Error: .*/.exec(said)?.[0] ?? `it ended with ${code}`)),
    );
  });
}
