import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checkpoint, CheckpointTensor, ModelTexts } from '#coordinator/import/checkpoint.ts';
import { safetensorsTensors } from '#coordinator/import/safetensors-file.ts';
import { matchTensors } from '#coordinator/import/tensor-names.ts';
import {
  MAX_SMALL_TEXT_BYTES,
  MAX_TOKENIZER_BYTES,
  ownField,
  parseJsonObject,
  readTextFile,
} from '#coordinator/import/text-files.ts';
import { checkTiedHead } from '#coordinator/import/tied-head.ts';
import { WeightsFile } from '#coordinator/import/weights-file.ts';
import { must } from '#shared/errors/pool-error.ts';
import { parseConfigText } from '#shared/weights/model-config.ts';
import { sortByName } from '#shared/weights/model-root.ts';

const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
/** A plain name beside the index, so that nothing outside the folder is read. */
const PART_NAME = /^[A-Za-z0-9][\w.-]*\.safetensors$/;
/** More parts than any published model has. */
const MAX_PARTS = 1_000;
/** What a checkpoint may hold instead, and what to do about it. */
const OTHER_WEIGHTS = ['pytorch_model.bin', 'pytorch_model.bin.index.json', 'consolidated.safetensors'];

/**
 * A Hugging Face model folder: config.json, tokenizer.json, weights as safetensors in one file or in parts with an
 * index. Nothing of the weights but their headers is read. CHECKPOINT, CONFIG_UNSUPPORTED or a WEIGHTS code.
 */
export async function openFolder(dir: string, source = dir): Promise<Checkpoint> {
  const texts = await readTexts(dir);
  const config = parseConfigText(texts.config);
  const files: WeightsFile[] = [];
  const close = async () => {
    await Promise.all(files.splice(0).map((file) => file.close()));
  };
  try {
    const found: CheckpointTensor[] = [];
    for (const name of await weightFiles(dir)) {
      const file = await WeightsFile.open(join(dir, name));
      files.push(file);
      found.push(...(await safetensorsTensors(file)));
    }
    const matched = matchTensors(found, config);
    await checkTiedHead(matched);
    const tensors = [...matched.tensors].map(([name, tensor]) => ({ ...tensor, name }));
    return { source, texts, tensors: sortByName(tensors), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function readTexts(dir: string): Promise<ModelTexts> {
  const small = (name: string) => readTextFile(join(dir, name), MAX_SMALL_TEXT_BYTES);
  const config = await small('config.json');
  const hint = config === null ? await ggufHint(dir) : '';
  must(
    config !== null,
    'CHECKPOINT',
    `${dir} has no config.json: expected a Hugging Face model folder${hint}`,
  );
  const tokenizer = await readTextFile(join(dir, 'tokenizer.json'), MAX_TOKENIZER_BYTES);
  must(
    tokenizer !== null,
    'CHECKPOINT',
    `${dir} has no tokenizer.json; transformers writes one with AutoTokenizer.from_pretrained(…).save_pretrained(…)`,
  );
  const tokenizerConfig = await small('tokenizer_config.json');
  const chatTemplate = (await small('chat_template.jinja')) ?? templateIn(tokenizerConfig);
  return {
    config,
    tokenizer,
    chatTemplate,
    tokenizerConfig,
    generationConfig: await small('generation_config.json'),
  };
}

async function ggufHint(dir: string): Promise<string> {
  const file = (await readdir(dir)).find((name) => name.endsWith('.gguf'));
  return file === undefined ? '' : `, or name a GGUF file itself: ${join(dir, file)}`;
}

/** The key `chat_template` of older folders: a text, or a list of which one is the default. */
function templateIn(tokenizerConfig: string | null): string | null {
  if (tokenizerConfig === null) return null;
  const template = ownField(parseJsonObject(tokenizerConfig, 'tokenizer_config.json'), 'chat_template');
  if (typeof template === 'string') return template;
  if (!Array.isArray(template)) return null;
  const named = template as { name?: unknown; template?: unknown }[];
  const chosen = named.find((one) => one?.name === 'default')?.template;
  return typeof chosen === 'string' ? chosen : null;
}

/** Names of the files with weights, relative to the folder. */
async function weightFiles(dir: string): Promise<string[]> {
  if (await exists(join(dir, WEIGHTS))) return [WEIGHTS];
  const index = await readTextFile(join(dir, INDEX), MAX_TOKENIZER_BYTES);
  if (index !== null) return partsOf(index);
  for (const name of OTHER_WEIGHTS)
    must(
      !(await exists(join(dir, name))),
      'CHECKPOINT',
      `${dir} has ${name}, but no ${WEIGHTS}: save it as safetensors with AutoModelForCausalLM.from_pretrained(…).save_pretrained(…)`,
    );
  must(false, 'CHECKPOINT', `${dir} has no ${WEIGHTS} and no ${INDEX}`);
}

function partsOf(index: string): string[] {
  const map = ownField(parseJsonObject(index, INDEX), 'weight_map');
  must(
    typeof map === 'object' && map !== null && !Array.isArray(map),
    'CHECKPOINT',
    `${INDEX}: expected a weight_map`,
  );
  const parts = [...new Set<unknown>(Object.values(map))];
  const ok =
    parts.length > 0 &&
    parts.length <= MAX_PARTS &&
    parts.every((name) => typeof name === 'string' && PART_NAME.test(name));
  must(
    ok,
    'CHECKPOINT',
    `${INDEX}: expected 1 to ${MAX_PARTS} names of safetensors files in the same folder`,
  );
  return (parts as string[]).sort();
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
