import { corrupt } from '#coordinator/store/io-error.ts';
import { BUCKET, bucketKey } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { merkleLeaf, merkleRoot, rootOfLeaves } from '#shared/crypto/merkle.ts';

/* The bytes of held-out shards. Nothing here decides who may see them: see epochs.ts. */

/** What keeps the shards of genesis. */
export function genesisShardOps(shards: readonly Uint8Array[]): KvOp[] {
  return shards.map((shard, i) => put(bucketKey(BUCKET.heldOutShard, i), shard));
}

/** What keeps the shards that a later Meta block names. */
export function laterShardOps(shards: readonly Uint8Array[]): KvOp[] {
  const root = merkleRoot(shards);
  return shards.map((shard, i) => put(bucketKey(BUCKET.heldOutShard, root, i), shard));
}

/** One shard; undefined where the store has not got it. */
export async function readShard(kv: KV, root: Uint8Array, index: number): Promise<Uint8Array | undefined> {
  const keys = [bucketKey(BUCKET.heldOutShard, root, index), bucketKey(BUCKET.heldOutShard, index)];
  const [later, ofGenesis] = await kv.getMany(keys);
  return later ?? ofGenesis;
}

/** Leaf hashes of a held-out part, one shard in memory at a time. STORE_CORRUPT where they are not those of the root. */
export async function readLeaves(kv: KV, root: Uint8Array, count: number): Promise<Uint8Array[]> {
  const leaves: Uint8Array[] = [];
  for (let index = 0; index < count; index++) {
    const shard = await readShard(kv, root, index);
    if (shard) leaves.push(merkleLeaf(shard));
  }
  if (leaves.length !== count || !equalBytes(rootOfLeaves(leaves), root))
    throw corrupt(`the store lacks the ${count} held-out shards of root ${toHex(root)}`);
  return leaves;
}
