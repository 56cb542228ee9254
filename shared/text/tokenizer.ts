import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/** The largest published tokenizers (256k tokens) are about 35 MB. */
const MAX_JSON_CHARS = 64 * 1024 * 1024;
/** Above every published vocabulary; an id beyond it would only make sparse tables. */
const MAX_VOCAB_SIZE = 1_048_576;
/** Used when no configuration names the token, most specific first. */
const USUAL_END_OF_TEXT = ['<|endoftext|>', '<|end_of_text|>', '</s>', '<eos>'] as const;

// Only what is read here; the rest is the library's to check. Ids are checked before it sees them, since it
// fills tables up to the highest one.
const idSchema = z
  .int()
  .min(0)
  .max(MAX_VOCAB_SIZE - 1);
const tokenizerSchema = z.looseObject({
  added_tokens: z
    .array(z.looseObject({ id: idSchema, content: z.string().min(1), special: z.boolean().default(false) }))
    .default([]),
  // Files from before 2020 do not name the type.
  model: z.looseObject({ type: z.enum(['BPE', 'Unigram', 'WordPiece']).optional(), vocab: z.unknown() }),
});
/** Keys that the library wants to be there, if only as null. */
const OPTIONAL_PARTS = {
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
  added_tokens: [],
};
const configSchema = z.looseObject({
  eos_token: z.union([z.string(), z.looseObject({ content: z.string() })]).nullish(),
});

/**
 * Text ↔ token ids by a Hugging Face `tokenizer.json`. Every refusal is a PoolError TOKENIZER.
 * Special tokens are recognised in a text, as in Python's `tokenizers`, and left out of decoded text.
 * A stranger's tokenizer may backtrack without end: run it where a deadline can stop it.
 */
export class Tokenizer {
  /** One more than the highest id. */
  readonly vocabSize: number;
  /** Id of the token that ends a document, if there is one. */
  readonly endOfText: number | null;
  readonly #hub: HubTokenizer;
  readonly #special: ReadonlySet<number>;

  private constructor(parts: { hub: HubTokenizer; tokens: TokenIds; endNames: readonly string[] }) {
    this.#hub = parts.hub;
    this.#special = parts.tokens.special;
    this.vocabSize = parts.tokens.vocabSize;
    this.endOfText = parts.endNames.map((name) => this.tokenToId(name)).find((id) => id !== null) ?? null;
  }

  /** `configJson` is the `tokenizer_config.json` beside it; only its `eos_token` matters here. */
  static fromJson(json: string, configJson = '{}'): Tokenizer {
    const raw = parseJson(json, 'tokenizer.json');
    const parsed = checked(tokenizerSchema, raw, 'tokenizer.json');
    const config = checked(
      configSchema,
      parseJson(configJson, 'tokenizer_config.json'),
      'tokenizer_config.json',
    );
    const tokens = tokenIds(parsed);
    const eos = config.eos_token ?? null;
    const endNames = eos === null ? USUAL_END_OF_TEXT : [typeof eos === 'string' ? eos : eos.content];
    // Cleaning up would change the text: "a , b" must come back as it went in.
    const settings = { ...config, clean_up_tokenization_spaces: false };
    const complete = { ...OPTIONAL_PARTS, ...(raw as object) };
    const hub = guarded('tokenizer.json cannot be used', () => new HubTokenizer(complete, settings));
    return new Tokenizer({ hub, tokens, endNames });
  }

  /** Tokens are added at the ends, as in front of a prompt, only where `addSpecial` says so and the file has some. */
  encode(text: string, { addSpecial = false }: { readonly addSpecial?: boolean } = {}): number[] {
    if (text === '') return [];
    const ids: number[] = guarded(
      'the text cannot be encoded',
      () => this.#hub.encode(text, { add_special_tokens: addSpecial }).ids,
    );
    must(
      ids.every((id) => Number.isInteger(id)),
      'TOKENIZER',
      'the text holds something that no token stands for',
    );
    return ids;
  }

  /** Bytes that are not UTF-8 become U+FFFD. */
  decode(ids: readonly number[]): string {
    for (const id of ids) {
      must(this.#hub.id_to_token(id) !== undefined, 'TOKENIZER', () => `expected a token id, got ${id}`);
    }
    if (ids.length === 0) return '';
    return guarded('the tokens cannot be decoded', () =>
      this.#hub.decode([...ids], { skip_special_tokens: true, clean_up_tokenization_spaces: false }),
    );
  }

  tokenToId(token: string): number | null {
    return this.#hub.token_to_id(token) ?? null;
  }

  /** Special tokens stand for no text: they are left out when decoding. */
  isSpecial(id: number): boolean {
    return this.#special.has(id);
  }

  get specialIds(): readonly number[] {
    return [...this.#special];
  }
}

interface TokenIds {
  readonly vocabSize: number;
  readonly special: ReadonlySet<number>;
}

function tokenIds({ model, added_tokens }: z.infer<typeof tokenizerSchema>): TokenIds {
  const highest = added_tokens.reduce((max, { id }) => Math.max(max, id), highestId(model.vocab));
  must(highest >= 0, 'TOKENIZER', 'tokenizer.json: expected at least one token');
  return {
    vocabSize: highest + 1,
    special: new Set(added_tokens.filter((token) => token.special).map(({ id }) => id)),
  };
}

/** A vocabulary is an object of ids by token, or (Unigram) a list whose positions are the ids. */
function highestId(vocab: unknown): number {
  must(typeof vocab === 'object' && vocab !== null, 'TOKENIZER', 'model.vocab: expected an object or a list');
  const ids: unknown[] = Array.isArray(vocab) ? [vocab.length - 1] : Object.values(vocab);
  let highest = -1;
  for (const id of ids) {
    const ok =
      typeof id === 'number' &&
      Number.isInteger(id) &&
      id >= (Array.isArray(vocab) ? -1 : 0) &&
      id < MAX_VOCAB_SIZE;
    must(
      ok,
      'TOKENIZER',
      () => `model.vocab: expected ids below ${MAX_VOCAB_SIZE}, got ${String(id).slice(0, 40)}`,
    );
    highest = Math.max(highest, id);
  }
  return highest;
}

function parseJson(json: string, what: string): unknown {
  must(
    json.length <= MAX_JSON_CHARS,
    'TOKENIZER',
    () => `${what}: expected at most ${MAX_JSON_CHARS} characters, got ${json.length}`,
  );
  return guarded(`${what} is not JSON`, () => JSON.parse(json));
}

function checked<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.path.slice(0, 4).join('.').slice(0, 80);
  throw new PoolError('TOKENIZER', `${what}: ${path}: ${issue?.message.slice(0, 200)}`);
}

/** What the library throws over foreign input is the input's fault, not ours. */
function guarded<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof PoolError) throw error;
    throw new PoolError('TOKENIZER', what, {}, { cause: error });
  }
}
