import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import type { TensorRefMessage } from '#shared/protocol/worker.ts';
import { toFloat32 } from '#shared/weights/dtype.ts';
import { type ModelConfig, parseConfigText, tensorShapes } from '#shared/weights/model-config.ts';
import { hubFiles } from '#worker/audit/hub-files.ts';
import { rootOf } from '#worker/model/model-slot.ts';
import { type LocalTensor, readTensors } from '#worker/submit/local-tensors.ts';
import { fetchHead, type HeadSource } from '#worker/train/miner-head.ts';

/** A model to train, with what else belongs into its folder. */
export interface TrainSource {
  /** Where it comes from, for people. */
  readonly name: string;
  readonly config: ModelConfig;
  readonly tokenizer: string;
  /** Text files of the model folder, by name. */
  readonly files: ReadonlyMap<string, string>;
  readonly refs: readonly TensorRefMessage[];
  readonly tensors: ReadonlyMap<string, Float32Array>;
  readonly root: string;
}

const CONFIG = 'config.json';
const TOKENIZER = 'tokenizer.json';
/** What may stand beside them. */
const OTHER_FILES = [
  'tokenizer_config.json',
  'generation_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
];

/** The model at the head of a pool. */
export async function poolSource({ api, payloads }: HeadSource, signal: AbortSignal): Promise<TrainSource> {
  const view = await api.model(signal);
  const { meta, refs, tensors } = await fetchHead(payloads, view, { signal });
  const name = `${view.name} at B${view.head.index}`;
  const { tokenizer } = meta.manifest;
  return {
    name,
    config: meta.config,
    tokenizer,
    files: hubFiles(meta.manifest),
    refs,
    tensors,
    root: view.root,
  };
}

/** A Hugging Face model folder. OPTION where a file is missing, CONFIG_UNSUPPORTED, or a code of its weights. */
export async function folderSource(dir: string): Promise<TrainSource> {
  const files = new Map<string, string>();
  for (const name of [CONFIG, TOKENIZER, ...OTHER_FILES]) {
    const text = await readFile(join(dir, name), 'utf8').catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT' && OTHER_FILES.includes(name)) return undefined;
      throw new PoolError('OPTION', `${join(dir, name)}: cannot be read (${cause.code})`, {}, { cause });
    });
    if (text !== undefined) files.set(name, text);
  }
  const config = parseConfigText(files.get(CONFIG) as string);
  const shapes = tensorShapes(config);
  const found = await readTensors(
    dir,
    [...shapes].map(([name, shape]) => ({ name, shape })),
  );
  const refs: TensorRefMessage[] = [];
  const tensors = new Map<string, Float32Array>();
  for (const tensor of found) {
    const bytes = await bytesOf(tensor);
    const { name, dtype, shape } = tensor;
    refs.push({ name, dtype, shape: [...shape], hash: createHash('sha256').update(bytes).digest('hex') });
    tensors.set(name, toFloat32(dtype, bytes));
  }
  const missing = [...shapes.keys()].find((name) => !tensors.has(name));
  must(missing === undefined, 'WEIGHTS_NAMES', () => `${dir}: expected ${missing}, but it is not there`);
  return {
    name: dir,
    config,
    tokenizer: files.get(TOKENIZER) as string,
    files,
    refs,
    tensors,
    root: rootOf(refs),
  };
}

async function bytesOf({ path, start, end }: LocalTensor): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const bytes = new Uint8Array(end - start);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
    must(bytesRead === bytes.length, 'WEIGHTS_TRUNCATED', `${path} ends too early`);
    return bytes;
  } finally {
    await file.close();
  }
}
