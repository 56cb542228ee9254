import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, utf8ToBytes } from '#shared/crypto/bytes.ts';
import { merkleRoot } from '#shared/crypto/merkle.ts';
import { must } from '#shared/errors/pool-error.ts';

/** What every window of a validation set has in common. */
export interface WindowShape {
  /** Tokens that are predicted per window (T); a window holds T + 1. */
  readonly context: number;
  /** Every token is below it. */
  readonly vocabSize: number;
}

/**
 * A shard: a header of 20 bytes, then the windows' tokens one after another. All little-endian.
 *
 *   0  4 bytes  "ABWS"
 *   4  u8       version, 1
 *   5  u8       bytes per token: 2 for vocabularies of up to 65,536 tokens, else 4
 *   6  u16      0
 *   8  u32      vocabulary size
 *  12  u32      tokens per window, T + 1
 *  16  u32      number of windows
 */
const MAGIC = utf8ToBytes('ABWS');
const VERSION = 1;
const HEADER_BYTES = 20;
const MAX_U16_VOCAB = 65_536;
const U32_RANGE = 2 ** 32;

/** Window i = tokens [i·T, i·T + T + 1): each token is predicted once. An incomplete last one is dropped. */
export function cutWindows(tokens: ArrayLike<number>, context: number): Uint32Array[] {
  const count = Math.max(0, Math.floor((tokens.length - 1) / context));
  const all = Uint32Array.from(tokens);
  return Array.from({ length: count }, (_, i) => all.slice(i * context, i * context + context + 1));
}

/** Cuts tokens into windows and groups them; the last shard may hold fewer than `shardWindows`. */
export function makeShards(
  tokens: ArrayLike<number>,
  shape: WindowShape & { readonly shardWindows: number },
): Uint8Array[] {
  const windows = cutWindows(tokens, shape.context);
  const count = Math.ceil(windows.length / shape.shardWindows);
  return Array.from({ length: count }, (_, i) =>
    encodeShard(windows.slice(i * shape.shardWindows, (i + 1) * shape.shardWindows), shape),
  );
}

/** Windows of T + 1 tokens each → the bytes of a shard. Throws BLOCK_ENCODING for what `shape` excludes. */
export function encodeShard(windows: readonly ArrayLike<number>[], shape: WindowShape): Uint8Array {
  const { bytes, view, width } = emptyShard(windows.length, shape);
  let at = HEADER_BYTES;
  for (const window of windows) {
    must(
      window.length === shape.context + 1,
      'BLOCK_ENCODING',
      () => `window: expected ${shape.context + 1} tokens, got ${window.length}`,
    );
    for (let i = 0; i < window.length; i++, at += width) {
      const token = checkToken(window[i] as number, shape);
      if (width === 2) view.setUint16(at, token, true);
      else view.setUint32(at, token, true);
    }
  }
  return bytes;
}

/** Bytes of a shard of so many windows. */
export function shardBytes(windows: number, shape: WindowShape): number {
  return HEADER_BYTES + windows * (shape.context + 1) * tokenWidth(shape);
}

/** The bytes of a shard → its windows of T + 1 tokens. Any other length, header or token: BLOCK_ENCODING. */
export function decodeShard(bytes: Uint8Array, shape: WindowShape): Uint32Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = tokenWidth(shape);
  const windowTokens = shape.context + 1;
  must(
    bytes.length >= HEADER_BYTES,
    'BLOCK_ENCODING',
    () => `shard: expected at least ${HEADER_BYTES} bytes, got ${bytes.length}`,
  );
  const count = view.getUint32(16, true);
  // The length first: nothing is allocated for a count that the bytes do not bear out.
  const length = shardBytes(count, shape);
  must(
    bytes.length === length && count > 0,
    'BLOCK_ENCODING',
    () => `shard: expected ${length} bytes for ${count} windows, got ${bytes.length}`,
  );
  const header = shardHeader(count, shape);
  must(
    header.every((byte, i) => byte === bytes[i]),
    'BLOCK_ENCODING',
    () => `shard: expected the header of ${windowTokens} tokens below ${shape.vocabSize} per window`,
  );
  return Array.from({ length: count }, (_, i) =>
    Uint32Array.from({ length: windowTokens }, (_, j) => {
      const at = HEADER_BYTES + (i * windowTokens + j) * width;
      return checkToken(width === 2 ? view.getUint16(at, true) : view.getUint32(at, true), shape);
    }),
  );
}

/**
 * All windows of a validation set in order: window i is in shard ⌊i / shardWindows⌋. Every shard but the last
 * must be full. Throws BLOCK_ENCODING.
 */
export function readShards(
  shards: readonly Uint8Array[],
  shape: WindowShape & { readonly shardWindows: number },
): Uint32Array[] {
  return shards.flatMap((shard, i) => {
    const windows = decodeShard(shard, shape);
    const full = windows.length === shape.shardWindows;
    const last = i === shards.length - 1 && windows.length < shape.shardWindows;
    must(
      full || last,
      'BLOCK_ENCODING',
      () => `shard ${i}: expected ${shape.shardWindows} windows, got ${windows.length}`,
    );
    return windows;
  });
}

/** Windows in shards that were made here: what their headers say. */
export const countWindows = (shards: readonly Uint8Array[]): number =>
  shards.reduce((sum, shard) => sum + new DataView(shard.buffer, shard.byteOffset).getUint32(16, true), 0);

/** Merkle root over the shards' bytes, in order. */
export function shardsRoot(shards: readonly Uint8Array[]): Uint8Array {
  return merkleRoot(shards);
}

/** `count` different indices below `total`, ascending. */
export function drawWindows(seed: Uint8Array, total: number, count: number): number[] {
  return drawInOrder(seed, total, count).sort((a, b) => a - b);
}

/**
 * `count` different indices below `total` in the order in which they are drawn: a partial Fisher–Yates shuffle
 * whose numbers come from `seed` (32 bytes). Integers only. PROTOCOL §8: word n of the stream is the big-endian
 * 32-bit word n mod 8 of SHA-256(seed ‖ u32be(⌊n / 8⌋)).
 */
export function drawInOrder(seed: Uint8Array, total: number, count: number): number[] {
  must(seed.length === 32, 'BAD_REQUEST', () => `seed: expected 32 bytes, got ${seed.length}`);
  must(
    Number.isInteger(total) && total >= 0 && total < U32_RANGE,
    'BAD_REQUEST',
    () => `total: expected a whole number below 2^32, got ${total}`,
  );
  must(
    Number.isInteger(count) && count >= 0 && count <= total,
    'BAD_REQUEST',
    () => `count: expected 0 to ${total}, got ${count}`,
  );
  const next = wordStream(seed);
  // Only moved entries are kept, so that a few windows of a large set cost little.
  const moved = new Map<number, number>();
  const drawn: number[] = [];
  for (let i = 0; i < count; i++) {
    const j = i + below(next, total - i);
    drawn.push(moved.get(j) ?? j);
    moved.set(j, moved.get(i) ?? i);
  }
  return drawn;
}

/** Uniform below `limit`: words at or above the largest multiple of `limit` are drawn again. */
function below(next: () => number, limit: number): number {
  const fair = U32_RANGE - (U32_RANGE % limit);
  let word = next();
  while (word >= fair) word = next();
  return word % limit;
}

function wordStream(seed: Uint8Array): () => number {
  const input = concatBytes(seed, new Uint8Array(4));
  const counter = new DataView(input.buffer, seed.length);
  let block = new DataView(new ArrayBuffer(0));
  let drawn = 0;
  return () => {
    if (drawn % 8 === 0) {
      counter.setUint32(0, drawn / 8);
      block = new DataView(sha256(input).buffer);
    }
    return block.getUint32((drawn++ % 8) * 4);
  };
}

function tokenWidth({ vocabSize }: WindowShape): 2 | 4 {
  return vocabSize <= MAX_U16_VOCAB ? 2 : 4;
}

function shardHeader(count: number, shape: WindowShape): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  header.set(MAGIC);
  header.set([VERSION, tokenWidth(shape)], 4);
  const view = new DataView(header.buffer);
  view.setUint32(8, shape.vocabSize, true);
  view.setUint32(12, shape.context + 1, true);
  view.setUint32(16, count, true);
  return header;
}

function emptyShard(count: number, shape: WindowShape) {
  must(count > 0, 'BLOCK_ENCODING', 'shard: expected at least one window');
  const width = tokenWidth(shape);
  const bytes = new Uint8Array(shardBytes(count, shape));
  bytes.set(shardHeader(count, shape));
  return { bytes, view: new DataView(bytes.buffer), width };
}

function checkToken(token: number, { vocabSize }: WindowShape): number {
  must(
    Number.isInteger(token) && token >= 0 && token < vocabSize,
    'BLOCK_ENCODING',
    () => `token: expected one below ${vocabSize}, got ${token}`,
  );
  return token;
}
