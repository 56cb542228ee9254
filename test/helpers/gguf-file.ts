import { concatBytes, utf8ToBytes } from '#shared/crypto/bytes.ts';

/** A value of GGUF's metadata with its type. */
export type GgufValue =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly text: string }
  | { readonly flag: boolean }
  | { readonly texts: readonly string[] }
  | { readonly i32s: readonly number[] }
  | { readonly f32s: readonly number[] };

export interface GgufFileTensor {
  readonly name: string;
  /** Row-major, as in torch. */
  readonly shape: readonly number[];
  /** ggml's number: 0 is F32. */
  readonly type: number;
  readonly bytes: Uint8Array;
  /** Behind the header; the next free place unless given. */
  readonly offset?: number;
}

const ALIGNMENT = 32;
const TYPE = { u32: 4, f32: 6, flag: 7, text: 8, list: 9, i32: 5 } as const;

const number = (bytes: number, set: (view: DataView) => void) => {
  const view = new DataView(new ArrayBuffer(bytes));
  set(view);
  return new Uint8Array(view.buffer);
};
export const u32 = (value: number) => number(4, (view) => view.setUint32(0, value, true));
export const u64 = (value: number | bigint) => number(8, (view) => view.setBigUint64(0, BigInt(value), true));
const i32 = (value: number) => number(4, (view) => view.setInt32(0, value, true));
const f32 = (value: number) => number(4, (view) => view.setFloat32(0, value, true));
export const text = (value: string) => concatBytes(u64(utf8ToBytes(value).length), utf8ToBytes(value));

function list<T>(type: number, items: readonly T[], one: (item: T) => Uint8Array): Uint8Array {
  return concatBytes(u32(TYPE.list), u32(type), u64(items.length), ...items.map(one));
}

function encoded(value: GgufValue): Uint8Array {
  if ('u32' in value) return concatBytes(u32(TYPE.u32), u32(value.u32));
  if ('f32' in value) return concatBytes(u32(TYPE.f32), f32(value.f32));
  if ('flag' in value) return concatBytes(u32(TYPE.flag), Uint8Array.of(value.flag ? 1 : 0));
  if ('text' in value) return concatBytes(u32(TYPE.text), text(value.text));
  if ('texts' in value) return list(TYPE.text, value.texts, text);
  if ('i32s' in value) return list(TYPE.i32, value.i32s, i32);
  return list(TYPE.f32, value.f32s, f32);
}

const padded = (bytes: Uint8Array) =>
  concatBytes(bytes, new Uint8Array((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT));

/** The bytes of a GGUF file, version 3. `counts` overrides what its head says of tensors and keys. */
export function ggufFile(
  metadata: Readonly<Record<string, GgufValue>>,
  tensors: readonly GgufFileTensor[],
  counts: { readonly tensors?: bigint; readonly keys?: bigint; readonly version?: number } = {},
): Uint8Array {
  const keys = Object.entries(metadata);
  let next = 0;
  const infos = tensors.map(({ name, shape, type, bytes, offset }) => {
    const at = offset ?? next;
    next = at + Math.ceil(bytes.length / ALIGNMENT) * ALIGNMENT;
    const dimensions = [...shape].reverse().map((n) => u64(n));
    return concatBytes(text(name), u32(shape.length), ...dimensions, u32(type), u64(at));
  });
  const head = concatBytes(
    utf8ToBytes('GGUF'),
    u32(counts.version ?? 3),
    u64(counts.tensors ?? tensors.length),
    u64(counts.keys ?? keys.length),
    ...keys.map(([key, value]) => concatBytes(text(key), encoded(value))),
    ...infos,
  );
  return concatBytes(padded(head), ...tensors.map(({ bytes }) => padded(bytes)));
}
