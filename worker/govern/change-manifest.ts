import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { CborValue } from '#shared/block/cbor.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { checked, type Fields, type FieldValue, withFields } from '#shared/block/manifest-text.ts';
import { merkleRoot } from '#shared/crypto/merkle.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { firstIssue } from '#shared/errors/schema-issue.ts';
import { countWindows, makeShards } from '#shared/pol/windows.ts';
import { splitValidationText } from '#shared/text/split-text.ts';
import { parseConfigText } from '#shared/weights/model-config.ts';
import { encodeInThread } from '#worker/text/encode-in-thread.ts';
import { TextThread } from '#worker/text/text-thread.ts';

/** What is to change, as the options of `aiblock meta propose` name it. */
export interface ChangeOptions {
  /** JSON file of small fields. */
  readonly fields?: string | undefined;
  /** Single fields, such as `gate.z_milli=2500`. */
  readonly set: readonly string[];
  /** JSON file: a list of `{"name", "text"}`. */
  readonly rules?: string | undefined;
  readonly chatTemplate?: string | undefined;
  readonly generationConfig?: string | undefined;
  /** Text whose parts are public and held out in turn. */
  readonly validation?: string | undefined;
}

export interface ChangedManifest {
  readonly manifest: Manifest;
  /** The shards of a new held-out part. */
  readonly heldOut: readonly Uint8Array[] | undefined;
}

const MAX_TEXT_BYTES = 16 * 1024 * 1024;
const text = z.string().trim().min(1);
const rulesSchema = z.array(z.strictObject({ name: text, text })).min(1);

/** The manifest with these changes. OPTION, BLOCK_ENCODING, CHAT_TEMPLATE, TOKENIZER. */
export async function changeManifest(before: Manifest, options: ChangeOptions): Promise<ChangedManifest> {
  let manifest = before;
  if (options.fields !== undefined) manifest = withFields(manifest, await readFields(options.fields));
  for (const assignment of options.set) manifest = withFields(manifest, parseAssignment(assignment));
  manifest = { ...manifest, ...(await textFiles(options)) };
  if (manifest.chat_template !== before.chat_template) await tryTemplate(manifest);
  if (options.validation === undefined)
    return { manifest: checked(manifest as unknown as CborValue), heldOut: undefined };
  const { validation, heldOut } = await newValidation(manifest, options.validation);
  return { manifest: checked({ ...manifest, validation } as unknown as CborValue), heldOut };
}

async function textFiles({ rules, chatTemplate, generationConfig }: ChangeOptions) {
  return {
    ...(rules === undefined ? {} : { rules: await readRules(rules) }),
    ...(chatTemplate === undefined ? {} : { chat_template: await readText(chatTemplate) }),
    ...(generationConfig === undefined ? {} : { generation_config: await readJsonText(generationConfig) }),
  };
}

/** `gate.z_milli=2500`: the value is JSON where it can be read so, else a text. */
export function parseAssignment(assignment: string): Fields {
  const [, path, value] = /^([a-z_]+(?:\.[a-z_]+)*)=(.*)$/s.exec(assignment) ?? [];
  must(
    path && value !== undefined,
    'OPTION',
    () => `--set ${assignment}: expected such as gate.z_milli=2500`,
  );
  const names = path.split('.');
  return names.reduceRight<FieldValue>((inner, name) => ({ [name]: inner }), jsonOrText(value)) as Fields;
}

function jsonOrText(written: string): FieldValue {
  try {
    return JSON.parse(written) as FieldValue;
  } catch {
    return written;
  }
}

async function readFields(path: string): Promise<Fields> {
  const value = jsonOrText(await readJsonText(path));
  must(
    typeof value === 'object' && value !== null && !Array.isArray(value),
    'OPTION',
    `--fields ${path}: expected a JSON object such as \`aiblock meta show --json\` prints`,
  );
  return value as Fields;
}

async function readRules(path: string): Promise<Manifest['rules']> {
  const parsed = rulesSchema.safeParse(jsonOrText(await readJsonText(path)));
  if (parsed.success) return parsed.data;
  const wanted = 'expected a JSON list of {"name": …, "text": …}';
  throw new PoolError('OPTION', `--rules ${path}: ${wanted}; ${firstIssue(parsed.error)}`);
}

async function readJsonText(path: string): Promise<string> {
  const json = await readText(path);
  try {
    JSON.parse(json);
  } catch (cause) {
    throw new PoolError('OPTION', `${path}: expected JSON`, {}, { cause });
  }
  return json;
}

async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new PoolError('OPTION', `${path} cannot be read (${cause.code})`, {}, { cause });
  });
  must(bytes.length <= MAX_TEXT_BYTES, 'OPTION', `${path}: expected at most ${MAX_TEXT_BYTES} bytes`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new PoolError('OPTION', `${path} is not UTF-8`, {}, { cause });
  }
}

/** A template that cannot write down the plainest question would take the chat away from everybody. */
async function tryTemplate(manifest: Manifest): Promise<void> {
  const { tokenizer, tokenizer_config: tokenizerConfig, chat_template: chatTemplate } = manifest;
  const thread = new TextThread({ tokenizer, tokenizerConfig, chatTemplate });
  try {
    await thread.render([{ role: 'user', content: 'Hello' }]);
  } finally {
    await thread.close();
  }
}

/** Windows of the context that the manifest asks for, of parts of the text that are public and held out in turn. */
async function newValidation(manifest: Manifest, path: string) {
  const { validation, tokenizer, tokenizer_config: tokenizerConfig } = manifest;
  const parts = splitValidationText(await readText(path));
  const tokens = await encodeInThread({ tokenizer, tokenizerConfig }, [parts.public, parts.heldOut]);
  const vocabSize = parseConfigText(manifest.config).vocabulary;
  const { context, shard_windows: shardWindows } = validation;
  const sets = tokens.map((ids) => makeShards(ids, { context, vocabSize, shardWindows }));
  const [shards = [], heldOut = []] = sets;
  must(
    heldOut.length > 0,
    'OPTION',
    `--validation ${path}: expected a longer text, to be part public and part held out`,
  );
  return {
    heldOut,
    validation: {
      ...validation,
      ...{ shards, root: merkleRoot(shards), windows: countWindows(shards) },
      held_out: { ...validation.held_out, root: merkleRoot(heldOut), windows: countWindows(heldOut) },
    },
  };
}
