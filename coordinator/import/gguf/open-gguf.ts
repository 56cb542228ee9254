import type { Checkpoint, CheckpointTensor, ModelTexts } from '#coordinator/import/checkpoint.ts';
import { architectureOf, configOf, specialIds } from '#coordinator/import/gguf/config.ts';
import type { Metadata } from '#coordinator/import/gguf/metadata.ts';
import { type GgufHeader, type GgufTensor, readGgufHeader } from '#coordinator/import/gguf/read-header.ts';
import { shapeOf, tensorStream } from '#coordinator/import/gguf/tensor-bytes.ts';
import { layoutOf, ROPE_FACTORS, stateDictName } from '#coordinator/import/gguf/tensor-names.ts';
import { rebuildTokenizer } from '#coordinator/import/gguf/tokenizer.ts';
import { matchTensors } from '#coordinator/import/tensor-names.ts';
import { sameTensor } from '#coordinator/import/tied-head.ts';
import { WeightsFile } from '#coordinator/import/weights-file.ts';
import { collectBytes } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { toFloat32 } from '#shared/weights/dtype.ts';
import { parseModelConfig } from '#shared/weights/model-config.ts';
import { sortByName } from '#shared/weights/model-root.ts';

/** A table of frequencies has half a head's elements. */
const MAX_FACTORS = 4_096;

/**
 * A GGUF file as the checkpoint that it was made of: names and layouts of transformers, quantised tensors as
 * float32, the rest as stored; configuration and tokenizer rebuilt from the metadata. CHECKPOINT,
 * CONFIG_UNSUPPORTED, TOKENIZER or a WEIGHTS code.
 */
export async function openGguf(
  path: string,
  { source = path, signal }: { source?: string; signal: AbortSignal },
): Promise<Checkpoint> {
  const file = await WeightsFile.open(path);
  try {
    const header = await readGgufHeader(file, signal);
    const found = stateDict(file, header);
    const config = configOf(header, {
      tied: await isTied(found),
      ropeFactors: await ropeFactors(file, header),
    });
    const parsed = parseModelConfig(config);
    const matched = matchTensors(found, parsed);
    const tensors = [...matched.tensors].map(([name, tensor]) => ({ ...tensor, name }));
    return {
      source,
      texts: textsOf(config, header.metadata, parsed.context),
      tensors: sortByName(tensors),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function stateDict(file: WeightsFile, { metadata, tensors }: GgufHeader): CheckpointTensor[] {
  const architecture = architectureOf(metadata);
  const heads = metadata.number(`${architecture}.attention.head_count`);
  const kvHeads = metadata.number(`${architecture}.attention.head_count_kv`, heads);
  return tensors
    .filter(({ name }) => name !== ROPE_FACTORS)
    .map((tensor) => {
      const layout = layoutOf(tensor.name, { architecture, heads, kvHeads });
      if (layout.kind === 'interleaved') checkHeads(tensor, layout.heads);
      return {
        name: stateDictName(tensor.name, architecture),
        dtype: tensor.type.dtype,
        shape: shapeOf(tensor, layout),
        read: () => tensorStream(file, tensor, layout),
      };
    });
}

function checkHeads({ name, shape: [rows = 0] }: GgufTensor, heads: number): void {
  must(
    Number.isInteger(heads) && heads > 0 && rows % (2 * heads) === 0,
    'WEIGHTS_SHAPE',
    `${name}: expected rows for ${heads} heads of an even size, got ${rows}`,
  );
}

/** GGUF has no word for a tied head: it is left out, or, of GPT-2, written twice. */
async function isTied(tensors: readonly CheckpointTensor[]): Promise<boolean> {
  const head = tensors.find(({ name }) => name === 'lm_head.weight');
  const embeddings = tensors.find(({ name }) => /\.(wte|embed_tokens)\.weight$/.test(name));
  return head === undefined || (embeddings !== undefined && (await sameTensor(head, embeddings)));
}

async function ropeFactors(file: WeightsFile, { tensors }: GgufHeader): Promise<Float32Array | null> {
  const table = tensors.find(({ name }) => name === ROPE_FACTORS);
  if (!table) return null;
  must(
    table.type.name === 'F32' && table.shape.length === 1 && (table.shape[0] as number) <= MAX_FACTORS,
    'CHECKPOINT',
    `${ROPE_FACTORS}: expected at most ${MAX_FACTORS} numbers in F32`,
  );
  return toFloat32('F32', await collectBytes(tensorStream(file, table, { kind: 'same' })));
}

function textsOf(config: object, metadata: Metadata, context: number): ModelTexts {
  const template = 'tokenizer.chat_template';
  return {
    config: json(config),
    ...rebuildTokenizer(metadata, context),
    chatTemplate: metadata.has(template) ? metadata.text(template) : null,
    generationConfig: json(generationConfig(metadata)),
  };
}

/** An answer ends with its turn (`eot`) as well as with the text. */
function generationConfig(metadata: Metadata): object {
  const { eos_token_id: eos, ...ids } = specialIds(metadata);
  const turn = 'tokenizer.ggml.eot_token_id';
  const ends = [...new Set([eos, metadata.has(turn) ? metadata.number(turn) : undefined])].filter(
    (id) => id !== undefined,
  );
  return { ...ids, ...(ends.length > 0 && { eos_token_id: ends.length === 1 ? ends[0] : ends }) };
}

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;
