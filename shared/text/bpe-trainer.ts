import { must } from '#shared/errors/pool-error.ts';
import { BYTE_TO_CHAR } from '#shared/text/byte-alphabet.ts';

/** Ends every document of a training or validation text. */
export const END_OF_TEXT = '<|endoftext|>';

/**
 * GPT-2's split of a text into words, with blanks spelled as Unicode's White_Space: `\s` takes U+FEFF and
 * leaves U+0085 in JavaScript and does the reverse in Python's tokenizers, and the two must agree.
 */
export const WORD_PATTERN =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+";

/** One special token and 256 bytes come before the first merge. */
const RESERVED = 257;
/** Pairs of ids are kept as one number below 2³². */
const MAX_VOCAB_SIZE = 65_536;

/** Ids: 0 is `END_OF_TEXT`, 1…256 the bytes in the order of their characters, then one per merge. */
export interface BpeModel {
  /** Token of each id, in the byte alphabet. */
  readonly tokens: readonly string[];
  /** Pairs of ids, in the order in which they are merged. */
  readonly merges: readonly (readonly [left: number, right: number])[];
}

/**
 * Byte-level BPE (Sennrich et al. 2016): merges the most frequent pair until the vocabulary is full or no
 * pair is left; among equals, the pair with the lowest ids. Integers only: the same on every machine.
 */
export function trainBpe(texts: readonly string[], vocabSize: number): BpeModel {
  must(
    Number.isInteger(vocabSize) && vocabSize >= RESERVED && vocabSize <= MAX_VOCAB_SIZE,
    'TOKENIZER',
    () => `vocabulary size: expected ${RESERVED} to ${MAX_VOCAB_SIZE}, got ${vocabSize}`,
  );
  const tokens = [END_OF_TEXT, ...[...BYTE_TO_CHAR].sort()];
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const pairs = new PairCounts(countWords(texts, idOf));
  const merges: [number, number][] = [];
  while (tokens.length < vocabSize) {
    const pair = pairs.mostFrequent();
    if (pair === null) break;
    const token = `${tokens[pair[0]]}${tokens[pair[1]]}`;
    // Two different pairs can spell the same token: both merges give its one id.
    const id = idOf.get(token) ?? tokens.push(token) - 1;
    idOf.set(token, id);
    merges.push(pair);
    pairs.merge(pair, id);
  }
  return { tokens, merges };
}

interface Word {
  /** Current token ids. */
  ids: number[];
  /** How often the word stands in the text. */
  readonly count: number;
}

function countWords(texts: readonly string[], idOf: ReadonlyMap<string, number>): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const word of text.match(new RegExp(WORD_PATTERN, 'gu')) ?? []) {
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  const encoder = new TextEncoder();
  const idOfByte = BYTE_TO_CHAR.map((char) => idOf.get(char) as number);
  const toIds = (word: string) => Array.from(encoder.encode(word), (byte) => idOfByte[byte] as number);
  return [...counts].map(([word, count]) => ({ ids: toIds(word), count }));
}

const keyOf = (left: number, right: number): number => left * MAX_VOCAB_SIZE + right;

/** Counts of adjacent pairs, kept up to date by touching only the words that hold the merged pair. */
class PairCounts {
  readonly #counts = new Map<number, number>();
  /** Words in which a pair stands or once stood. */
  readonly #holders = new Map<number, Set<Word>>();

  constructor(words: readonly Word[]) {
    for (const word of words) this.#add(word, 1);
  }

  mostFrequent(): [number, number] | null {
    let bestKey = -1;
    let bestCount = 0;
    for (const [key, count] of this.#counts) {
      if (count > bestCount || (count === bestCount && key < bestKey)) {
        bestKey = key;
        bestCount = count;
      }
    }
    return bestKey < 0 ? null : [Math.floor(bestKey / MAX_VOCAB_SIZE), bestKey % MAX_VOCAB_SIZE];
  }

  merge([left, right]: readonly [number, number], id: number): void {
    const key = keyOf(left, right);
    for (const word of this.#holders.get(key) ?? []) {
      this.#add(word, -1);
      word.ids = mergePair(word.ids, [left, right], id);
      this.#add(word, 1);
    }
    this.#holders.delete(key);
  }

  #add(word: Word, sign: 1 | -1): void {
    const { ids, count } = word;
    for (let i = 1; i < ids.length; i++) {
      const key = keyOf(ids[i - 1] as number, ids[i] as number);
      const sum = (this.#counts.get(key) ?? 0) + sign * count;
      if (sum === 0) this.#counts.delete(key);
      else this.#counts.set(key, sum);
      if (sign > 0) this.#hold(key, word);
    }
  }

  #hold(key: number, word: Word): void {
    const holders = this.#holders.get(key);
    if (holders) holders.add(word);
    else this.#holders.set(key, new Set([word]));
  }
}

/** From left to right, without overlap: `aaa` becomes `(aa)a`. */
function mergePair(ids: readonly number[], [left, right]: readonly [number, number], id: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    const isPair = ids[i] === left && ids[i + 1] === right;
    out.push(isPair ? id : (ids[i] as number));
    if (isPair) i++;
  }
  return out;
}

/**
 * The model as a Hugging Face `tokenizer.json`. Written key by key: an object would move the tokens that
 * look like numbers to its front.
 */
export function toTokenizerJson({ tokens, merges }: BpeModel): string {
  const vocab = tokens.map((token, id) => `${JSON.stringify(token)}:${id}`).join(',');
  const pairs = merges.map(([left, right]) => JSON.stringify(`${tokens[left]} ${tokens[right]}`)).join(',');
  const special = { id: 0, content: END_OF_TEXT, single_word: false, lstrip: false, rstrip: false };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
  const split = { type: 'Split', pattern: { Regex: WORD_PATTERN }, behavior: 'Isolated', invert: false };
  return [
    '{"version":"1.0","truncation":null,"padding":null',
    `"added_tokens":${JSON.stringify([{ ...special, normalized: false, special: true }])}`,
    '"normalizer":null',
    `"pre_tokenizer":${JSON.stringify({ type: 'Sequence', pretokenizers: [split, { ...byteLevel, use_regex: false }] })}`,
    `"post_processor":${JSON.stringify({ ...byteLevel, use_regex: true })}`,
    `"decoder":${JSON.stringify({ ...byteLevel, use_regex: true })}`,
    `"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,"vocab":{${vocab}},"merges":[${pairs}]}}`,
  ].join(',');
}
