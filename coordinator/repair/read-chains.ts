import { createHash } from 'node:crypto';
import { readBlock } from '#coordinator/chain/chain.ts';
import type { Watch } from '#coordinator/progress.ts';
import { corrupt } from '#coordinator/store/io-error.ts';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { CHUNK_BYTES } from '#coordinator/store/payload-store.ts';
import { ChainsAudit, type SealedSubmission } from '#shared/block/audit-chains.ts';
import type { ChainId } from '#shared/block/header.ts';
import type { Block } from '#shared/block/verify-block.ts';
import { concatBytes, equalBytes, readU64be, toHex } from '#shared/crypto/bytes.ts';

/** Payloads by their hash (hex) with their size; `undefined` where chunks are missing or wrong. */
export type FoundPayloads = ReadonlyMap<string, number | undefined>;

/** What stands in both chains, replayed from their first blocks as a stranger would. */
export interface FoundChains {
  readonly chains: ChainsAudit;
  readonly seals: readonly SealedSubmission[];
}

/** Goes over all chunks and hashes them. */
export async function readPayloads(kv: KV, { signal, progress }: Watch): Promise<FoundPayloads> {
  const found = new Map<string, number | undefined>();
  let open:
    | { hash: Uint8Array; sha: ReturnType<typeof createHash>; bytes: number; whole: boolean }
    | undefined;
  const close = () => {
    if (!open) return;
    const whole = open.whole && equalBytes(open.sha.digest(), open.hash);
    found.set(toHex(open.hash), whole ? open.bytes : undefined);
  };
  for await (const [key, chunk] of kv.entries(bucketRange(BUCKET.payloadChunk))) {
    signal.throwIfAborted();
    const hash = key.slice(1, 33);
    if (!open || !equalBytes(open.hash, hash)) {
      close();
      open = { hash, sha: createHash('sha256'), bytes: 0, whole: true };
    }
    // Each chunk but the last one is full, and none is left out.
    open.whole &&= Number(readU64be(key, 33)) * CHUNK_BYTES === open.bytes;
    open.sha.update(chunk);
    open.bytes += chunk.length;
    progress.add(chunk.length);
  }
  close();
  return found;
}

/** STORE_CORRUPT, or the code of the rule that is broken, where blocks or payloads are not whole. */
export async function readChains(kv: KV, payloads: FoundPayloads, { signal }: Watch): Promise<FoundChains> {
  const chains = new ChainsAudit();
  const seals: SealedSubmission[] = [];
  for await (const block of blocksOf(kv, 'A')) {
    checkPayload(block, payloads);
    chains.applyMeta(block, await payloadOf(kv, block));
  }
  for await (const block of blocksOf(kv, 'B')) {
    signal.throwIfAborted();
    checkPayload(block, payloads);
    const sealed = chains.applyParameter(block);
    if (sealed) seals.push(sealed);
  }
  chains.finish();
  if (seals.length === 0) throw corrupt('the chain has no sealed block');
  await reached(kv, 'A', chains.meta.index);
  await reached(kv, 'B', chains.sealed.position.index);
  return { chains, seals };
}

/** Blocks from height 0 to where there is none. */
export async function* blocksOf(kv: KV, chain: ChainId): AsyncGenerator<Block> {
  for (let index = 0; ; index++) {
    const block = await readBlock(kv, chain, index);
    if (!block) return;
    yield block;
  }
}

/** A head that stands above what was found tells of blocks that are gone. */
async function reached(kv: KV, chain: ChainId, index: number): Promise<void> {
  const head = await kv.get(bucketKey(BUCKET.head, Uint8Array.of(chain.charCodeAt(0))));
  const told = head ? Number(readU64be(head)) : 0;
  if (told > index) throw corrupt(`block ${chain}${index + 1} of ${told} is missing`);
}

function checkPayload({ header }: Block, payloads: FoundPayloads): void {
  if (payloads.get(toHex(header.payloadHash)) !== header.payloadBytes)
    throw corrupt(`the payload of ${header.chainId}${header.index} is missing or damaged`);
}

async function payloadOf(kv: KV, { header }: Block): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const [, chunk] of kv.entries(bucketRange(BUCKET.payloadChunk, header.payloadHash)))
    chunks.push(chunk);
  return concatBytes(...chunks);
}
