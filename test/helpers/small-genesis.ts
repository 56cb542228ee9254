import { createHash } from 'node:crypto';
import { tensorInMemory } from '#coordinator/chain/genesis/content.ts';
import type { DevGenesis } from '#coordinator/chain/genesis/dev-genesis.ts';
import type { ModelView } from '#shared/api/schemas.ts';
import { concatBytes, fromHex, toHex } from '#shared/crypto/bytes.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { makeShards } from '#shared/pol/windows.ts';
import { bitsFromTarget, MAX_TARGET } from '#shared/pow/target.ts';
import { SUBMISSION_METADATA_KEY, signSubmission } from '#shared/protocol/submission.ts';
import { toTokenizerJson, trainBpe } from '#shared/text/bpe-trainer.ts';
import type { Dtype } from '#shared/weights/dtype.ts';
import { initialWeights } from '#shared/weights/initial-weights.ts';
import { parseModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { safetensorsHeader } from '#shared/weights/safetensors.ts';

const TEXT = 'the white whale swam and the sea rolled on as it rolled five thousand years ago. '.repeat(20);
const CONTEXT = 16;
const SHARD_WINDOWS = 16;
const WINDOWS = 128;
/** A few hashes per header. */
export const EASY_BITS = bitsFromTarget(MAX_TARGET >> 3n);
/** One tensor of few values, to change cheaply. */
export const SMALL_TENSOR = 'transformer.ln_f.bias';

/** A GPT-2 small enough to make in milliseconds; `size` sets the vocabulary (at least 300) and the width. */
export function smallContent(size: { vocabulary: number; width: number } = { vocabulary: 300, width: 16 }) {
  const configJson = JSON.stringify({
    model_type: 'gpt2',
    activation_function: 'gelu_new',
    vocab_size: size.vocabulary,
    n_positions: CONTEXT,
    n_embd: size.width,
    n_layer: 1,
    n_head: 2,
  });
  const config = parseModelConfig(JSON.parse(configJson));
  const shapes = tensorShapes(config);
  const tokens = Array.from({ length: WINDOWS * (CONTEXT + 1) }, (_, i) => (i * 7) % 300);
  const shape = { context: CONTEXT, vocabSize: size.vocabulary, shardWindows: SHARD_WINDOWS };
  return {
    configJson,
    tokenizerJson: toTokenizerJson(trainBpe([TEXT], 300)),
    chatTemplate: '',
    rules: [],
    context: CONTEXT,
    shardWindows: SHARD_WINDOWS,
    publicShards: makeShards(tokens, shape),
    heldOutShards: makeShards(tokens.slice(0, 40 * (CONTEXT + 1)), shape),
    tensors: [...initialWeights(config, 1)].map(([name, values]) =>
      tensorInMemory({
        name,
        dtype: 'F32',
        shape: shapes.get(name) as number[],
        bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
      }),
    ),
  } satisfies DevGenesis;
}

export interface TestFile {
  /** Submission id, hex. */
  readonly id: string;
  readonly header: Uint8Array;
  readonly bytes: Uint8Array;
}

export interface FileOptions {
  readonly key: KeyPair;
  /** Name → value that every element gets (finite or not), or its bytes. */
  readonly tensors: Readonly<Record<string, number | Uint8Array>>;
  readonly base?: string;
  readonly meta?: string;
  readonly salt?: Uint8Array;
}

/** A signed safetensors file with these tensors of the model. */
export function fileOf(model: ModelView, { key, tensors, base, meta, salt }: FileOptions): TestFile {
  const refs = Object.entries(tensors).map(([name, content]) => {
    const found = model.tensors.find((t) => t.name === name);
    if (!found) throw new Error(`the model has no tensor ${name}`);
    const elements = found.shape.reduce((a, b) => a * b, 1);
    const bytes =
      typeof content === 'number' ? new Uint8Array(new Float32Array(elements).fill(content).buffer) : content;
    const payloadHash = new Uint8Array(createHash('sha256').update(bytes).digest());
    return { name, dtype: found.dtype as Dtype, shape: found.shape, bytes, payloadHash };
  });
  const network = fromHex(model.network, 32);
  const content = {
    base: fromHex(base ?? model.root, 32),
    meta: fromHex(meta ?? model.meta.hash, 32),
    tensors: refs,
    salt,
  };
  const { id, text } = signSubmission(network, content, key);
  const { header, order } = safetensorsHeader(refs, { [SUBMISSION_METADATA_KEY]: text });
  const byName = new Map(refs.map((ref) => [ref.name, ref.bytes]));
  const bytes = concatBytes(header, ...order.map(({ name }) => byName.get(name) as Uint8Array));
  return { id: toHex(id), header, bytes };
}

export async function post(
  url: string,
  file: { bytes: Uint8Array },
  path = '/upload_parameters',
): Promise<{ status: number; body: unknown; code: string | undefined }> {
  const response = await fetch(new URL(path, url), {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: file.bytes as Uint8Array<ArrayBuffer>,
  });
  const body = (await response.json()) as { error?: { code: string } };
  return { status: response.status, body, code: body.error?.code };
}
