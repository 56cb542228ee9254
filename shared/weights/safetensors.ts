import { readU64be, utf8ToBytes } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { type Dtype, isDtype, tensorBytes } from '#shared/weights/dtype.ts';
import { sortByName } from '#shared/weights/model-root.ts';
import { parseStrictJson, type StrictValue } from '#shared/weights/strict-json.ts';

export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Bytes of the tensor relative to the end of the header: [start, end). */
  readonly start: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In file order. */
  readonly entries: readonly SafetensorsEntry[];
  readonly metadata: ReadonlyMap<string, string>;
  /** Bytes that follow the header. */
  readonly dataBytes: number;
}

/** A header of the largest model in use (some thousand tensors) is under 1 MiB; 8 MiB leaves room. */
export const MAX_HEADER_BYTES = 8 * 1024 * 1024;
const MAX_TENSORS = 20_000;
/** Metadata has members, too, however few the tensors are. */
const MIN_MEMBERS = 256;
const MAX_NAME_BYTES = 512;
const MAX_RANK = 8;

/**
 * First 8 bytes of a file → length of the JSON header. Refused before anything is allocated. Who knows the model passes
 * `maxBytes`, since what can be wrong with a header grows with it.
 */
export function headerLength(prefix: Uint8Array, maxBytes = MAX_HEADER_BYTES): number {
  must(
    prefix.length >= 8,
    'WEIGHTS_TRUNCATED',
    () => `expected 8 bytes of header length, got ${prefix.length}`,
  );
  const length = readU64be(prefix.slice(0, 8).reverse());
  must(
    length >= 2n && length <= BigInt(maxBytes),
    'WEIGHTS_HEADER',
    () => `expected a header of 2 to ${maxBytes} bytes, got ${length}`,
  );
  return Number(length);
}

/**
 * The JSON header → entries in file order: gapless from 0, without overlap, sizes equal to shape × dtype. Of tensors
 * that `passOver` names only the place is read: they may have any dtype and shape, and are not among the entries. Who
 * knows the model passes the number of its tensors, and the header of a file of more is given up where they begin.
 */
export function parseSafetensorsHeader(
  json: Uint8Array,
  passOver: (name: string) => boolean = () => false,
  maxTensors = MAX_TENSORS,
): SafetensorsHeader {
  const root = parseStrictJson(decodeUtf8(json), Math.max(maxTensors + 1, MIN_MEMBERS));
  must(root instanceof Map, 'WEIGHTS_HEADER', 'expected the header to be an object');
  const entries: SafetensorsEntry[] = [];
  const places: Pick<SafetensorsEntry, 'name' | 'start' | 'end'>[] = [];
  const metadata = new Map<string, string>();
  for (const [name, value] of root) {
    if (name === '__metadata__') {
      readMetadata(value, metadata);
      continue;
    }
    must(places.length < maxTensors, 'WEIGHTS_HEADER', `expected at most ${maxTensors} tensors`);
    if (passOver(name)) {
      const [start, end] = parseOffsets(JSON.stringify(name.slice(0, 80)), value);
      places.push({ name, start, end });
    } else {
      const entry = parseEntry(name, value);
      entries.push(entry);
      places.push(entry);
    }
  }
  const byPlace = (a: { start: number; end: number }, b: { start: number; end: number }) =>
    a.start - b.start || a.end - b.end;
  entries.sort(byPlace);
  let next = 0;
  for (const entry of places.sort(byPlace)) {
    must(
      entry.start === next,
      'WEIGHTS_HEADER',
      () =>
        `expected ${JSON.stringify(entry.name)} to start at byte ${next}, got ${entry.start}: holes and overlaps are not allowed`,
    );
    next = entry.end;
  }
  must(entries.length > 0, 'WEIGHTS_HEADER', 'the file holds no tensor');
  return { entries, metadata, dataBytes: next };
}

function readMetadata(value: StrictValue, into: Map<string, string>): void {
  must(value instanceof Map, 'WEIGHTS_HEADER', 'expected __metadata__ to be an object of strings');
  for (const [key, text] of value) {
    must(typeof text === 'string', 'WEIGHTS_HEADER', 'expected __metadata__ to be an object of strings');
    into.set(key, text);
  }
}

function parseEntry(name: string, value: StrictValue): SafetensorsEntry {
  const shown = JSON.stringify(name.slice(0, 80));
  must(
    utf8ToBytes(name).length <= MAX_NAME_BYTES && name.length > 0,
    'WEIGHTS_HEADER',
    () => `the name ${shown} is empty or longer than ${MAX_NAME_BYTES} bytes`,
  );
  must(
    value instanceof Map && value.size === 3,
    'WEIGHTS_HEADER',
    () => `${shown}: expected exactly dtype, shape and data_offsets`,
  );
  const dtype = value.get('dtype');
  const shape = value.get('shape');
  must(typeof dtype === 'string', 'WEIGHTS_HEADER', () => `${shown}: expected a dtype`);
  must(
    isDtype(dtype),
    'WEIGHTS_DTYPE',
    () => `${shown}: expected F32, F16 or BF16, got ${JSON.stringify(dtype).slice(0, 40)}`,
  );
  must(
    isIntegers(shape) && shape.length <= MAX_RANK,
    'WEIGHTS_HEADER',
    () => `${shown}: expected a shape of at most ${MAX_RANK} integers`,
  );
  must(
    shape.every((n) => n > 0),
    'WEIGHTS_SHAPE',
    () => `${shown}: tensors of no elements are not allowed`,
  );
  const [start, end] = parseOffsets(shown, value);
  const bytes = tensorBytes(dtype, shape);
  must(
    end - start === bytes,
    'WEIGHTS_HEADER',
    () => `${shown}: expected ${bytes} bytes for ${dtype} [${shape.join(', ')}], got ${end - start}`,
  );
  return { name, dtype, shape, start, end };
}

function parseOffsets(shown: string, entry: StrictValue): readonly [start: number, end: number] {
  const offsets = entry instanceof Map ? entry.get('data_offsets') : undefined;
  must(
    isIntegers(offsets) && offsets.length === 2 && (offsets[0] as number) <= (offsets[1] as number),
    'WEIGHTS_HEADER',
    () => `${shown}: expected data_offsets of two integers in order`,
  );
  return offsets as [number, number];
}

function isIntegers(value: StrictValue | undefined): value is number[] {
  return Array.isArray(value) && value.every((n) => typeof n === 'number');
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new PoolError('WEIGHTS_HEADER', 'expected the header to be UTF-8', {}, { cause });
  }
}

export interface TensorToWrite {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/**
 * The start of a safetensors file (length and JSON header, padded with spaces to 8 bytes) for tensors whose bytes
 * follow in the returned order, which is that of their names. WEIGHTS_NAMES where two have the same.
 */
export function safetensorsHeader<T extends TensorToWrite>(
  tensors: readonly T[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): { header: Uint8Array; order: T[]; totalBytes: number } {
  const order = sortByName(tensors);
  const names = new Set(order.map(({ name }) => name)).add('__metadata__');
  must(names.size === order.length + 1, 'WEIGHTS_NAMES', 'expected names that differ, and none __metadata__');
  // Without a prototype, so that __proto__ is a name like others.
  const json: Record<string, unknown> = Object.assign(Object.create(null), { __metadata__: metadata });
  let at = 0;
  for (const { name, dtype, shape } of order) {
    const end = at + tensorBytes(dtype, shape);
    json[name] = { dtype, shape, data_offsets: [at, end] };
    at = end;
  }
  const text = JSON.stringify(json);
  const bytes = utf8ToBytes(text.padEnd(text.length + ((8 - (utf8ToBytes(text).length % 8)) % 8)));
  const header = new Uint8Array(8 + bytes.length);
  new DataView(header.buffer).setBigUint64(0, BigInt(bytes.length), true);
  header.set(bytes, 8);
  return { header, order, totalBytes: header.length + at };
}
