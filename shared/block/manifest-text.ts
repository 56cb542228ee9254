import type { CborValue } from '#shared/block/cbor.ts';
import { decodeManifest, encodeManifest, type Manifest } from '#shared/block/manifest.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

/* The small fields of a manifest as JSON that people read and edit: bytes as "0x…", numbers beyond 2⁵³ as "…n". */

export type FieldValue = null | boolean | number | string | readonly FieldValue[] | Fields;
export interface Fields {
  readonly [name: string]: FieldValue;
}

/** Whole files and shards: nothing that one edits in a line. */
const LARGE = ['config', 'tokenizer', 'tokenizer_config', 'generation_config', 'chat_template'] as const;

/** Everything but the texts of whole files and the shards. */
export function manifestFields(manifest: Manifest): Fields {
  const { validation, ...rest } = manifest;
  const { shards: _, ...sets } = validation;
  const small = Object.entries({ ...rest, validation: sets }).filter(
    ([name]) => !(LARGE as readonly string[]).includes(name),
  );
  return toField(Object.fromEntries(small) as CborValue) as Fields;
}

/**
 * A manifest with some of its small fields changed: objects are merged, everything else is replaced, `null` takes an
 * optional field away. OPTION where a field is not a small one, BLOCK_ENCODING where the result is no manifest.
 */
export function withFields(manifest: Manifest, changes: Fields): Manifest {
  for (const name of [...LARGE, 'shards'])
    must(!(name in changes), 'OPTION', `${name}: expected a file with an option of its own`);
  return checked(merge(manifest as unknown as CborValue, changes));
}

/** The same, after a look at everything that a decoder checks. */
export function checked(manifest: CborValue): Manifest {
  return decodeManifest(encodeManifest(manifest as unknown as Manifest));
}

function merge(before: CborValue | undefined, after: FieldValue): CborValue {
  if (!isFields(after)) return fromField(after);
  const base = isMap(before) ? before : {};
  const merged = Object.entries(after).map(([name, value]) => [
    name,
    value === null ? undefined : merge(Object.hasOwn(base, name) ? base[name] : undefined, value),
  ]);
  return { ...base, ...Object.fromEntries(merged) };
}

const isFields = (value: FieldValue): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isMap = (value: CborValue | undefined): value is { readonly [key: string]: CborValue } =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);

function toField(value: CborValue): FieldValue {
  if (value instanceof Uint8Array) return `0x${toHex(value)}`;
  if (typeof value === 'bigint') return value <= Number.MAX_SAFE_INTEGER ? Number(value) : `${value}n`;
  if (Array.isArray(value)) return value.map((item: CborValue) => toField(item));
  if (!isMap(value)) return value as null | boolean | number | string;
  const given = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(given.map(([name, item]) => [name, toField(item)]));
}

function fromField(value: FieldValue): CborValue {
  if (typeof value === 'string' && /^0x([0-9a-f]{2})+$/.test(value))
    return fromHex(value.slice(2), value.length / 2 - 1);
  if (typeof value === 'string' && /^[0-9]{1,20}n$/.test(value)) return BigInt(value.slice(0, -1));
  if (Array.isArray(value)) return value.map((item: FieldValue) => fromField(item));
  return isFields(value) ? merge(undefined, value) : (value as null | boolean | number | string);
}

/** One difference between two manifests. */
export interface FieldChange {
  /** Such as `gate.delta_micro_nats`. */
  readonly path: string;
  /** Undefined where there was none. */
  readonly before: FieldValue | undefined;
  readonly after: FieldValue | undefined;
}

/** What a manifest changes of the one before: small fields by their value, whole files and shards by their size. */
export function manifestChanges(before: Manifest, after: Manifest): FieldChange[] {
  return [
    ...changesIn('', manifestFields(before), manifestFields(after)),
    ...LARGE.filter((name) => before[name] !== after[name]).map((name) => ({
      path: name,
      before: charsOf(before[name]),
      after: charsOf(after[name]),
    })),
  ];
}

const charsOf = (text: string | undefined) => (text === undefined ? undefined : `${text.length} characters`);

function changesIn(
  path: string,
  before: FieldValue | undefined,
  after: FieldValue | undefined,
): FieldChange[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  if (before === undefined || after === undefined || !isFields(before) || !isFields(after))
    return [{ path, before, after }];
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.flatMap((name) => changesIn(path ? `${path}.${name}` : name, before[name], after[name]));
}
