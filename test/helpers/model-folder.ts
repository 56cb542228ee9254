import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { concatBytes } from '#shared/crypto/bytes.ts';
import { toTokenizerJson, trainBpe } from '#shared/text/bpe-trainer.ts';
import { parseModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { safetensorsHeader, type TensorToWrite } from '#shared/weights/safetensors.ts';

export interface FileTensor extends TensorToWrite {
  readonly bytes: Uint8Array;
}

const TEXT = 'the white whale swam and the sea rolled on as it rolled five thousand years ago. '.repeat(20);
const VOCABULARY = 300;

/** A GPT-2 of one layer, as a Hugging Face folder has it. */
export const SMALL_CONFIG = {
  model_type: 'gpt2',
  activation_function: 'gelu_new',
  vocab_size: VOCABULARY,
  n_positions: 64,
  n_embd: 12,
  n_layer: 1,
  n_head: 2,
  eos_token_id: 0,
} as const;

export const smallTokenizer = (): string => toTokenizerJson(trainBpe([TEXT], VOCABULARY));

/** Every tensor of the configuration with seeded values, as F32 under the names of the state dict. */
export function tensorsOf(config: object): FileTensor[] {
  const uniform = seededUniform(7);
  return [...tensorShapes(parseModelConfig(config))].map(([name, shape]) => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => uniform() - 0.5);
    return { name, dtype: 'F32', shape, bytes: new Uint8Array(values.buffer) };
  });
}

/** The bytes of a safetensors file; `pad` blanks stand before its header's object. */
export function safetensorsFile(tensors: readonly FileTensor[], pad = 0): Uint8Array {
  const { header, order } = safetensorsHeader(tensors);
  const json = concatBytes(new Uint8Array(pad).fill(0x20), header.subarray(8));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
  return concatBytes(length, json, ...order.map(({ bytes }) => bytes));
}

export interface FolderChanges {
  readonly config?: object;
  /** Files by name instead of, or beside, the usual ones; `null` leaves one out. */
  readonly files?: Readonly<Record<string, string | Uint8Array | null>>;
}

/** Writes a folder with config.json, tokenizer.json and model.safetensors. */
export async function writeModelFolder(
  dir: string,
  { config = SMALL_CONFIG, files = {} }: FolderChanges = {},
) {
  await mkdir(dir, { recursive: true });
  const usual = {
    'config.json': JSON.stringify(config),
    'tokenizer.json': smallTokenizer(),
    ...(!('model.safetensors' in files) && { 'model.safetensors': safetensorsFile(tensorsOf(config)) }),
  };
  for (const [name, content] of Object.entries<string | Uint8Array | null>({ ...usual, ...files }))
    if (content !== null) await writeFile(join(dir, name), content);
  return dir;
}
