import type { Metadata } from '#coordinator/import/gguf/metadata.ts';
import { sentencePieceMerges } from '#coordinator/import/gguf/sentencepiece-merges.ts';
import { byteLevel, wordStyle } from '#coordinator/import/gguf/word-styles.ts';
import { must } from '#shared/errors/pool-error.ts';

/** What GGUF says of each token. */
const TOKEN_TYPE = { unknown: 2, control: 3, userDefined: 4, byte: 6 } as const;
/** Above every published vocabulary. */
const MAX_TOKENS = 1_048_576;

export interface RebuiltTokenizer {
  readonly tokenizer: string;
  readonly tokenizerConfig: string;
}

/** tokenizer.json and tokenizer_config.json from the metadata of a GGUF file. TOKENIZER for kinds not supported. */
export function rebuildTokenizer(metadata: Metadata, context: number): RebuiltTokenizer {
  const kind = metadata.text('tokenizer.ggml.model');
  must(
    kind === 'gpt2' || kind === 'llama',
    'TOKENIZER',
    `tokenizer.ggml.model: expected gpt2 (byte pairs) or llama (SentencePiece), got ${JSON.stringify(kind.slice(0, 60))}`,
  );
  const tokens = metadata.texts('tokenizer.ggml.tokens');
  must(tokens.length > 0 && tokens.length <= MAX_TOKENS, 'TOKENIZER', `expected 1 to ${MAX_TOKENS} tokens`);
  const types = metadata.has('tokenizer.ggml.token_type')
    ? metadata.numbers('tokenizer.ggml.token_type')
    : [];
  must(
    types.length === 0 || types.length === tokens.length,
    'TOKENIZER',
    `tokenizer.ggml.token_type: expected ${tokens.length} types, got ${types.length}`,
  );
  const special = specialTokens(metadata, tokens);
  const vocabulary: Vocabulary = { tokens, types, special };
  const parts = kind === 'gpt2' ? bytePairs(metadata) : sentencePiece(metadata, vocabulary);
  const json = {
    ...parts,
    post_processor: postProcessor(kind, special),
    added_tokens: addedTokens(vocabulary),
  };
  return {
    tokenizer: tokenizerJson(json, tokens),
    tokenizerConfig: `${JSON.stringify(tokenizerConfig(special, context), null, 2)}\n`,
  };
}

interface Vocabulary {
  readonly tokens: readonly string[];
  /** Empty where the file has none: all are ordinary. */
  readonly types: readonly number[];
  readonly special: SpecialTokens;
}

interface SpecialTokens {
  readonly bos: Named | null;
  readonly eos: Named | null;
  readonly unknown: Named | null;
  readonly padding: Named | null;
  readonly addBos: boolean;
  readonly addEos: boolean;
}
interface Named {
  readonly id: number;
  readonly text: string;
}

function specialTokens(metadata: Metadata, tokens: readonly string[]): SpecialTokens {
  const named = (which: string): Named | null => {
    const key = `tokenizer.ggml.${which}_token_id`;
    if (!metadata.has(key)) return null;
    const id = metadata.number(key);
    const text = tokens[id];
    must(text !== undefined, 'TOKENIZER', `${key}: there is no token ${id}`);
    return { id, text };
  };
  // As llama.cpp takes it where the file does not say.
  const byDefault =
    metadata.text('tokenizer.ggml.model') === 'llama' ||
    metadata.text('tokenizer.ggml.pre', '') === 'llama-bpe';
  return {
    bos: named('bos'),
    eos: named('eos'),
    unknown: named('unknown'),
    padding: named('padding'),
    addBos: metadata.flag('tokenizer.ggml.add_bos_token', byDefault),
    addEos: metadata.flag('tokenizer.ggml.add_eos_token', false),
  };
}

type Parts = Readonly<Record<'normalizer' | 'pre_tokenizer' | 'decoder' | 'model', object | null>>;

const MODEL = {
  type: 'BPE',
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
} as const;

function bytePairs(metadata: Metadata): Parts {
  const style = wordStyle(metadata);
  return {
    normalizer: style.normalizer,
    pre_tokenizer: style.preTokenizer,
    decoder: byteLevel(true),
    model: { ...MODEL, ignore_merges: style.wholeWords, merges: metadata.texts('tokenizer.ggml.merges') },
  };
}

function sentencePiece(metadata: Metadata, { tokens, types, special }: Vocabulary): Parts {
  const scores = metadata.numbers('tokenizer.ggml.scores');
  must(
    scores.length === tokens.length,
    'TOKENIZER',
    `tokenizer.ggml.scores: expected ${tokens.length} scores, got ${scores.length}`,
  );
  const prefix = metadata.flag('tokenizer.ggml.add_space_prefix', true);
  const unknown = special.unknown?.text ?? tokens[types.indexOf(TOKEN_TYPE.unknown)] ?? null;
  const blank = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 };
  return {
    normalizer: prefix
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, blank] }
      : blank,
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefix ? [strip] : []),
      ],
    },
    model: {
      ...MODEL,
      unk_token: unknown,
      fuse_unk: true,
      byte_fallback: types.includes(TOKEN_TYPE.byte),
      merges: sentencePieceMerges(tokens, scores),
    },
  };
}

/** Tokens that stand for themselves in a text; those of control stand for nothing that is shown. */
function addedTokens({ tokens, types }: Vocabulary): object[] {
  return tokens.flatMap((content, id) => {
    const type = types[id];
    const isSpecial = type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown;
    if ((!isSpecial && type !== TOKEN_TYPE.userDefined) || content === '') return [];
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    return [{ id, content, ...flags, special: isSpecial }];
  });
}

/** What stands around an encoded text. */
function postProcessor(kind: 'gpt2' | 'llama', { bos, eos, addBos, addEos }: SpecialTokens): object | null {
  const before = addBos && bos ? [bos] : [];
  const after = addEos && eos ? [eos] : [];
  const plain = kind === 'gpt2' ? byteLevel(true) : null;
  if (before.length + after.length === 0) return plain;
  const part = ({ text }: Named, type_id: number) => ({ SpecialToken: { id: text, type_id } });
  const sequence = (id: 'A' | 'B', type_id: number) => [
    ...before.map((token) => part(token, type_id)),
    { Sequence: { id, type_id } },
    ...after.map((token) => part(token, type_id)),
  ];
  const template = {
    type: 'TemplateProcessing',
    single: sequence('A', 0),
    pair: [...sequence('A', 0), ...sequence('B', 1)],
    special_tokens: Object.fromEntries(
      [...before, ...after].map(({ id, text }) => [text, { id: text, ids: [id], tokens: [text] }]),
    ),
  };
  return plain ? { type: 'Sequence', processors: [plain, template] } : template;
}

/** Written key by key: an object of tokens would reorder those that look like numbers, and lose `__proto__`. */
function tokenizerJson(
  { model, ...parts }: Parts & { post_processor: object | null; added_tokens: object[] },
  tokens: readonly string[],
): string {
  const vocab = tokens.map((token, id) => `${JSON.stringify(token)}:${id}`).join(',');
  const rest = JSON.stringify({ version: '1.0', truncation: null, padding: null, ...parts }).slice(0, -1);
  return `${rest},"model":${JSON.stringify(model).slice(0, -1)},"vocab":{${vocab}}}}`;
}

function tokenizerConfig(special: SpecialTokens, context: number): object {
  const { bos, eos, unknown, padding } = special;
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: context,
    ...(bos && { bos_token: bos.text }),
    ...(eos && { eos_token: eos.text }),
    ...(unknown && { unk_token: unknown.text }),
    ...(padding && { pad_token: padding.text }),
    clean_up_tokenization_spaces: false,
    model_input_names: ['input_ids', 'attention_mask'],
  };
}
