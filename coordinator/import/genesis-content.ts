import { createHash } from 'node:crypto';
import type { GenesisContent, GenesisTensor } from '#coordinator/chain/genesis/content.ts';
import { type BehaviourRule, DEV_CHAT_TEMPLATE, DEV_RULES } from '#coordinator/chain/genesis/dev-rules.ts';
import { GATE_WINDOWS } from '#coordinator/chain/genesis/gates.ts';
import type { Checkpoint, CheckpointTensor } from '#coordinator/import/checkpoint.ts';
import { encodeTexts } from '#coordinator/import/encode-texts.ts';
import type { ValidationText } from '#coordinator/import/validation-text.ts';
import { counted, type Watch } from '#coordinator/progress.ts';
import { must } from '#shared/errors/pool-error.ts';
import { makeShards } from '#shared/pol/windows.ts';
import { DTYPE_BYTES, firstNonFinite, tensorBytes } from '#shared/weights/dtype.ts';
import { type ModelConfig, parseConfigText } from '#shared/weights/model-config.ts';

/** Windows per shard, as in the development network. */
const SHARD_WINDOWS = 16;
/** Tokens per window unless another number is asked for. */
const USUAL_WINDOW = 128;

export interface ContentOptions {
  readonly text: ValidationText;
  /** Tokens that are predicted per validation window. */
  readonly window?: number;
  readonly rules?: readonly BehaviourRule[];
}

/**
 * What a chain of this checkpoint starts from: its texts, validation windows made with its own tokenizer, and the
 * hash of every tensor, whose bytes are all read once and checked to be finite. Nothing is written.
 * TOKENIZER, OPTION, WEIGHTS_NOT_FINITE, WEIGHTS_TRUNCATED.
 */
export async function contentOf(
  checkpoint: Checkpoint,
  options: ContentOptions,
  watch: Watch,
): Promise<GenesisContent> {
  const { texts } = checkpoint;
  const validation = await validationShards(checkpoint, options, watch.signal);
  if (texts.chatTemplate === null)
    watch.progress.note('The model has no chat template: an answer goes on where the text of the user ends.');
  return {
    configJson: texts.config,
    tokenizerJson: texts.tokenizer,
    chatTemplate: texts.chatTemplate ?? DEV_CHAT_TEMPLATE,
    ...(texts.tokenizerConfig === null ? {} : { tokenizerConfigJson: texts.tokenizerConfig }),
    ...(texts.generationConfig === null ? {} : { generationConfigJson: texts.generationConfig }),
    rules: options.rules ?? DEV_RULES,
    ...validation,
    tensors: await hashTensors(checkpoint, watch),
  };
}

type Validation = Pick<GenesisContent, 'context' | 'shardWindows' | 'publicShards' | 'heldOutShards'>;

async function validationShards(
  { texts }: Checkpoint,
  { text, window }: ContentOptions,
  signal: AbortSignal,
): Promise<Validation> {
  const config = parseConfigText(texts.config);
  const context = window ?? Math.min(config.context, USUAL_WINDOW);
  must(
    context <= config.context,
    'OPTION',
    `--window: expected at most the model's context of ${config.context} tokens, got ${context}`,
  );
  const { vocabSize, tokens } = await encodeTexts(texts, [text.public, text.heldOut], { signal });
  checkVocabulary(vocabSize, config);
  const shape = { context, vocabSize: config.vocabulary, shardWindows: SHARD_WINDOWS };
  const [publicShards = [], heldOutShards = []] = tokens.map((ids) => makeShards(ids, shape));
  const windows = Math.floor(((tokens[0]?.length ?? 0) - 1) / context);
  must(
    windows >= GATE_WINDOWS && heldOutShards.length > 0,
    'OPTION',
    `the validation text gives ${Math.max(0, windows)} public windows of ${context} tokens, and the gate draws ${GATE_WINDOWS}: take a longer text (--validation-text) or shorter windows (--window)`,
  );
  return { context, shardWindows: SHARD_WINDOWS, publicShards, heldOutShards };
}

function checkVocabulary(vocabSize: number, { vocabulary }: ModelConfig): void {
  must(
    vocabSize <= vocabulary,
    'TOKENIZER',
    `tokenizer.json has ${vocabSize} tokens, the model only ${vocabulary}: are they of the same model?`,
  );
}

async function hashTensors({ tensors }: Checkpoint, watch: Watch): Promise<GenesisTensor[]> {
  const totalBytes = tensors.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, shape), 0);
  watch.progress.begin('Checking the weights', totalBytes);
  const hashed: GenesisTensor[] = [];
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    const payloadHash = await hashFinite(tensor, watch);
    hashed.push({ name, dtype, shape, payloadHash, read: () => tensor.read() });
  }
  watch.progress.end();
  return hashed;
}

/** SHA-256 of a tensor's bytes. WEIGHTS_NOT_FINITE with the place of the first element that is NaN or infinite. */
async function hashFinite(tensor: CheckpointTensor, watch: Watch): Promise<Uint8Array> {
  const { name, dtype, shape } = tensor;
  const sha = createHash('sha256');
  let done = 0;
  for await (const piece of counted(tensor.read(), watch)) {
    must(piece.length % DTYPE_BYTES[dtype] === 0, 'INTERNAL', `${name}: expected pieces of whole elements`);
    const bad = firstNonFinite(dtype, piece);
    const at = done / DTYPE_BYTES[dtype] + bad;
    must(bad < 0, 'WEIGHTS_NOT_FINITE', () => `${name}: element ${at} is NaN or infinite`);
    sha.update(piece);
    done += piece.length;
  }
  const expected = tensorBytes(dtype, shape);
  must(done === expected, 'WEIGHTS_TRUNCATED', `${name}: expected ${expected} bytes, got ${done}`);
  return new Uint8Array(sha.digest());
}
