import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { benchWeights } from '#test/bench/model/shapes.ts';
import { PayloadFile } from '#worker/client/payload-file.ts';
import type { TensorFile } from '#worker/model/stored-tensor.ts';

/** Weights as files of a folder, as a cache holds them. Runs `work` and removes the folder. */
export async function withWeightFiles<T>(config: ModelConfig, work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'aiblock-bench-'));
  try {
    for (const { name, bytes } of benchWeights(config)) await writeFile(join(dir, name), bytes);
    return await work(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

export async function* weightFiles(config: ModelConfig, dir: string): AsyncGenerator<TensorFile> {
  for (const name of tensorShapes(config).keys()) {
    const file = (await PayloadFile.open(join(dir, name))) as PayloadFile;
    const bytes = { length: file.bytes, read: file.read.bind(file), close: () => file.close() };
    yield { name, dtype: 'F32', bytes };
  }
}
