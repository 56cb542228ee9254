import { createHash } from 'node:crypto';
import type { BlockHeader } from '#shared/block/header.ts';
import { concatBytes, toHex } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { onBlock } from '#worker/audit/finding.ts';
import type { AuditSource } from '#worker/audit/source.ts';

export type PayloadClaim = Pick<BlockHeader, 'chainId' | 'index' | 'payloadHash' | 'payloadBytes'>;

/** A Meta block's payload is read into memory: shards, tokenizer and templates, some megabytes. */
const MAX_META_BYTES = 512 * 1024 * 1024;

/** Streams a payload and checks its size and hash, in constant memory. BLOCK_PAYLOAD where it is another. */
export async function checkPayload(source: AuditSource, claim: PayloadClaim): Promise<void> {
  for await (const _ of verified(source, claim));
}

/** The bytes of a Meta block's payload, checked. */
export async function readMetaPayload(source: AuditSource, claim: PayloadClaim): Promise<Uint8Array> {
  onBlock(claim.chainId, claim.index, () =>
    must(
      claim.payloadBytes <= MAX_META_BYTES,
      'BLOCK_PAYLOAD',
      `expected a payload of at most ${MAX_META_BYTES} bytes, got ${claim.payloadBytes}`,
    ),
  );
  const parts: Uint8Array[] = [];
  for await (const piece of verified(source, claim)) parts.push(piece);
  return concatBytes(...parts);
}

/** The payload's bytes as they arrive. They are the right ones only when the stream has ended without an error. */
export async function* verified(
  source: AuditSource,
  { chainId, index, payloadHash, payloadBytes }: PayloadClaim,
): AsyncGenerator<Uint8Array> {
  const check = (condition: unknown, message: string) =>
    onBlock(chainId, index, () => must(condition, 'BLOCK_PAYLOAD', message));
  const hash = toHex(payloadHash);
  const stream = await source.payload(hash).catch((error: unknown) => {
    const missing = error instanceof PoolError && error.code === 'NOT_FOUND';
    check(!missing, `the pool does not have payload ${hash}`);
    throw error;
  });
  const sha = createHash('sha256');
  let bytes = 0;
  for await (const piece of stream) {
    bytes += piece.length;
    check(bytes <= payloadBytes, `expected a payload of ${payloadBytes} bytes, got more`);
    sha.update(piece);
    yield piece;
  }
  check(bytes === payloadBytes, `expected a payload of ${payloadBytes} bytes, got ${bytes}`);
  const got = sha.digest('hex');
  check(got === hash, `expected a payload with hash ${hash}, got ${got}`);
}
