import { concatBytes, u64be } from '#shared/crypto/bytes.ts';

/**
 * The first byte of every key. Ids are on disk: they are never changed nor given to anything else.
 * 0xff is kept free, so that every bucket has an end.
 */
export const BUCKET = {
  /** The store's own counters: see rocks-kv.ts. */
  store: 0x00,
  /** payload hash → whether the payload is complete, and its size: see payload-store.ts. */
  payloadState: 0x10,
  /** payload hash ‖ u64 chunk number → up to 1 MiB of the payload. */
  payloadChunk: 0x11,
} as const;

export type Bucket = (typeof BUCKET)[keyof typeof BUCKET];
/** Numbers become big-endian u64, so that they sort by value. */
export type KeyPart = Uint8Array | bigint | number;

export function bucketKey(bucket: Bucket, ...parts: readonly KeyPart[]): Uint8Array {
  const bytes = parts.map((part) => (part instanceof Uint8Array ? part : u64be(part)));
  return concatBytes(Uint8Array.of(bucket), ...bytes);
}

/** All keys of the bucket that begin with `prefix`. */
export function bucketRange(
  bucket: Bucket,
  ...prefix: readonly KeyPart[]
): { gte: Uint8Array; lt: Uint8Array } {
  const gte = bucketKey(bucket, ...prefix);
  return { gte, lt: successor(gte) };
}

/** The smallest key greater than every key that begins with `prefix`: the last byte below 0xff plus one. */
function successor(prefix: Uint8Array): Uint8Array {
  const last = prefix.findLastIndex((byte) => byte < 0xff);
  const next = prefix.slice(0, last + 1);
  next[last] = (next[last] as number) + 1;
  return next;
}
