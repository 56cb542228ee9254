import { hash } from 'node:crypto';
import { concatBytes } from '#shared/crypto/bytes.ts';

/** Room for what is hashed most: entries of the journal and nodes of its tree. */
const scratch = new Uint8Array(4_096);
const DIGEST_BYTES = 32;

/**
 * SHA-256 of the machine's own library: a fifth of the time that the one in JavaScript takes (measured). Parts are put
 * together in one place that is used again, and the digest comes as text and becomes an array that V8 keeps on its
 * heap: buffers of their own, made and collected for every entry, would take longer than the hashing.
 */
export function nativeSha256(...parts: readonly Uint8Array[]): Uint8Array {
  const text = hash('sha256', together(parts), 'latin1' as 'hex');
  const digest = new Uint8Array(DIGEST_BYTES);
  for (let i = 0; i < DIGEST_BYTES; i++) digest[i] = text.charCodeAt(i);
  return digest;
}

function together(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  if (length > scratch.length) return concatBytes(...parts);
  let at = 0;
  for (const part of parts) {
    scratch.set(part, at);
    at += part.length;
  }
  return scratch.subarray(0, length);
}
