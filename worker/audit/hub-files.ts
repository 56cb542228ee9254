import type { Manifest } from '#shared/block/manifest.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { parseModelConfig } from '#shared/weights/model-config.ts';

type HubTexts = Pick<
  Manifest,
  'config' | 'tokenizer' | 'chat_template' | 'tokenizer_config' | 'generation_config'
>;

/**
 * The text files of a Hugging Face model folder by name. What the Meta block holds goes out byte for byte; the two
 * files that not every Meta block has are made from the configuration.
 */
export function hubFiles(manifest: HubTexts): Map<string, string> {
  const config = parseObject(manifest.config, 'config.json');
  const special = specialTokens(config, parseObject(manifest.tokenizer, 'tokenizer.json'));
  const files = new Map([
    ['config.json', manifest.config],
    ['tokenizer.json', manifest.tokenizer],
    ['tokenizer_config.json', manifest.tokenizer_config ?? text(tokenizerConfig(config, special))],
    ['generation_config.json', manifest.generation_config ?? text(generationConfig(special))],
  ]);
  if (manifest.chat_template !== '') files.set('chat_template.jinja', manifest.chat_template);
  return files;
}

function tokenizerConfig(config: JsonObject, { texts }: SpecialTokens): JsonObject {
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: parseModelConfig(config).context,
    ...texts,
    clean_up_tokenization_spaces: false,
    // Without this the class makes token_type_ids too, and GPT-2 adds an embedding for each of them.
    model_input_names: ['input_ids', 'attention_mask'],
  };
}

function generationConfig({ ids, end }: SpecialTokens): JsonObject {
  return { ...ids, ...(end !== undefined && { pad_token_id: end }) };
}

interface SpecialTokens {
  /** `bos_token` and `eos_token`. */
  readonly texts: Readonly<Record<string, string>>;
  /** `bos_token_id` and `eos_token_id` as the configuration has them. */
  readonly ids: Readonly<Record<string, unknown>>;
  /** The first id that ends a text. */
  readonly end: number | undefined;
}

function specialTokens(config: JsonObject, tokenizer: JsonObject): SpecialTokens {
  const texts: Record<string, string> = {};
  const ids: Record<string, unknown> = {};
  let end: number | undefined;
  for (const name of ['bos_token', 'eos_token']) {
    const key = `${name}_id`;
    const value = Object.hasOwn(config, key) ? config[key] : undefined;
    const id: unknown = Array.isArray(value) ? value[0] : value;
    if (typeof id !== 'number' || !Number.isInteger(id)) continue;
    ids[key] = value;
    if (name === 'eos_token') end = id;
    const content = tokenText(tokenizer, id);
    if (content !== undefined) texts[name] = content;
  }
  return { texts, ids, end };
}

/** What a token id stands for: among the added tokens, else in the model's vocabulary. */
function tokenText(tokenizer: JsonObject, id: number): string | undefined {
  const added = Array.isArray(tokenizer.added_tokens)
    ? (tokenizer.added_tokens as (JsonObject | null)[])
    : [];
  const found = added.find((token) => token?.id === id)?.content;
  if (typeof found === 'string') return found;
  const vocab = (tokenizer.model as JsonObject | undefined)?.vocab;
  if (typeof vocab !== 'object' || vocab === null || Array.isArray(vocab)) return undefined;
  return Object.entries(vocab).find(([, value]) => value === id)?.[0];
}

type JsonObject = Record<string, unknown>;

function parseObject(json: string, name: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new PoolError('BLOCK_PAYLOAD', `${name}: expected JSON`, {}, { cause });
  }
  must(
    typeof value === 'object' && value !== null && !Array.isArray(value),
    'BLOCK_PAYLOAD',
    `${name}: expected an object`,
  );
  return value as JsonObject;
}

const text = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
