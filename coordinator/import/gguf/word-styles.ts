import type { Metadata } from '#coordinator/import/gguf/metadata.ts';
import { must } from '#shared/errors/pool-error.ts';

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const WORDS = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
const REST = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

export const byteLevel = (useRegex: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});
const split = (pattern: string) => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
    byteLevel(false),
  ],
});

export interface WordStyle {
  readonly preTokenizer: object;
  readonly normalizer: object | null;
  /** A word that is a token is taken whole, whatever the merges would make of it. */
  readonly wholeWords: boolean;
}

/** How `tokenizer.ggml.pre` cuts a text into words before byte pairs are merged. */
const STYLES: Readonly<Record<string, WordStyle>> = {
  'gpt-2': { preTokenizer: byteLevel(true), normalizer: null, wholeWords: false },
  'llama-bpe': {
    preTokenizer: split(`${CONTRACTIONS}|${WORDS}|\\p{N}{1,3}|${REST}`),
    normalizer: null,
    wholeWords: true,
  },
  qwen2: {
    preTokenizer: split(`${CONTRACTIONS}|${WORDS}|\\p{N}|${REST}`),
    normalizer: { type: 'NFC' },
    wholeWords: false,
  },
  smollm: {
    preTokenizer: {
      type: 'Sequence',
      pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel(true)],
    },
    normalizer: null,
    wholeWords: false,
  },
};

/** The style of a file of byte pairs; TOKENIZER, by name, for one that is not known. */
export function wordStyle(metadata: Metadata): WordStyle {
  // Files of GPT-2 may lack the key; of other models the words would be a guess.
  const fallback = metadata.text('general.architecture') === 'gpt2' ? 'gpt-2' : 'default';
  const name = metadata.text('tokenizer.ggml.pre', fallback);
  const style = Object.hasOwn(STYLES, name) ? STYLES[name] : undefined;
  must(
    style,
    'TOKENIZER',
    `tokenizer.ggml.pre: expected one of ${Object.keys(STYLES).join(', ')}, got ${JSON.stringify(name.slice(0, 60))}`,
  );
  return style;
}
