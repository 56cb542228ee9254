import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { type ModelConfig, parseConfigText } from '#shared/weights/model-config.ts';
import { headerLength, parseSafetensorsHeader } from '#shared/weights/safetensors.ts';
import type { StoredTensor } from '#worker/model/weight-set.ts';

const FOLDER = new URL('../vectors/models/', import.meta.url);

/** A tiny checkpoint and what transformers computes with it. */
export interface ModelVector {
  readonly name: string;
  readonly config: ModelConfig;
  readonly tensors: readonly StoredTensor[];
  readonly sequences: readonly {
    readonly ids: readonly number[];
    /** [tokens·V] */
    readonly logits: Float32Array;
    /** In nats, of each token but the first. */
    readonly losses: readonly number[];
  }[];
}

/** The checkpoints of test/vectors/models, of every family. */
export function readModelVectors(): ModelVector[] {
  return readdirSync(FOLDER)
    .filter((name) => existsSync(new URL(`${name}/model.safetensors`, FOLDER)))
    .map(readModelVector);
}

export function readModelVector(name: string): ModelVector {
  const file = (path: string) => readFileSync(new URL(`${name}/${path}`, FOLDER));
  const { sequences } = JSON.parse(file('expected.json').toString()) as {
    sequences: { ids: number[]; logits: string; losses: number[] }[];
  };
  return {
    name,
    config: parseConfigText(file('config.json').toString()),
    tensors: readTensors(file('model.safetensors')),
    sequences: sequences.map(({ ids, logits, losses }) => ({ ids, losses, logits: floats(logits) })),
  };
}

/** Slopes of the loss of a checkpoint's longest sequence along directions that are drawn from seeds. */
export function readSlopes(name: string): { readonly seed: number; readonly slope: number }[] {
  return JSON.parse(readFileSync(new URL('slopes.json', FOLDER), 'utf8'))[name];
}

function readTensors(bytes: Uint8Array): StoredTensor[] {
  const length = headerLength(bytes);
  const body = bytes.subarray(8 + length);
  const { entries } = parseSafetensorsHeader(bytes.subarray(8, 8 + length));
  return entries.map(({ name, dtype, start, end }) => ({ name, dtype, bytes: body.subarray(start, end) }));
}

function floats(base64: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer);
}
