import { nativeSha256 } from '#coordinator/ledger/native-sha256.ts';
import { corrupt, stale } from '#coordinator/store/io-error.ts';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { delRange, type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { readU64be } from '#shared/crypto/bytes.ts';
import { merkleRoot } from '#shared/crypto/merkle.ts';
import {
  EMPTY_TREE,
  type GrowingTree,
  growTree,
  pathPlaces,
  peakPlaces,
  rootOfPeaks,
  type TreePlace,
} from '#shared/crypto/merkle-tree.ts';

/*
 * The Merkle tree over the journal (PROTOCOL §10). Its complete subtrees stand in the store, written with the entries
 * that complete them, so that the path of any entry in any size that the journal ever had takes a few reads. Leaves,
 * and the small subtrees above them, are not kept: their entries are, and hashing a few takes less than to write as
 * many nodes as entries.
 */

/** Subtrees of fewer than 2^4 entries are hashed from these. */
const LEAST_LEVEL = 4;

/** Entries that are read at once where the tree is made anew. */
const REBUILD_BATCH = 1_000;

/** Appends entries: the ops that keep the tree, and the tree after them. */
export function growJournalTree(
  tree: GrowingTree,
  entries: readonly Uint8Array[],
): { ops: KvOp[]; tree: GrowingTree } {
  const grown = growTree(tree, entries, nativeSha256);
  const kept = grown.nodes.filter(({ level }) => level >= LEAST_LEVEL);
  return { ops: kept.map((node) => put(nodeKey(node), node.hash)), tree: grown.tree };
}

/** The tree of the first `size` entries. One that is not there, as in a store from before it, is made from them. */
export async function openJournalTree(kv: KV, size: number): Promise<GrowingTree> {
  const peaks = await readPlaces(kv, peakPlaces(size));
  if (peaks.every((peak) => peak !== undefined)) return { size, peaks };
  return rebuildJournalTree(kv, size);
}

/** Makes all nodes anew from the entries. STORE_CORRUPT where one of them is missing. */
export async function rebuildJournalTree(kv: KV, size: number): Promise<GrowingTree> {
  await kv.batch([delRange(bucketRange(BUCKET.journalNode))], { durable: false });
  let tree = EMPTY_TREE;
  while (tree.size < size) {
    const entries: Uint8Array[] = [];
    const range = {
      gte: bucketKey(BUCKET.journalEntry, tree.size),
      lt: bucketKey(BUCKET.journalEntry, size),
    };
    for await (const [key, value] of kv.entries({ ...range, limit: REBUILD_BATCH })) {
      const next = tree.size + entries.length;
      if (Number(readU64be(key, 1)) !== next) throw corrupt(`journal entry ${next} is missing`);
      entries.push(value);
    }
    if (entries.length === 0) throw corrupt(`journal entry ${tree.size} is missing`);
    const grown = growJournalTree(tree, entries);
    tree = grown.tree;
    await kv.batch(grown.ops, { durable: false });
  }
  return tree;
}

/** The path from entry `index` to the root of the first `size` entries, bottom up. */
export async function journalPath(kv: KV, index: number, size: number): Promise<Uint8Array[]> {
  const path = pathPlaces(index, size);
  const hashes = await readPlaces(kv, path.flat());
  return path.map((places) => {
    const peaks = hashes.splice(0, places.length);
    return rootOfPeaks(
      peaks.map((peak) => {
        if (!peak) throw stale('the Merkle tree of the journal lacks a node');
        return peak;
      }),
    );
  });
}

const nodeKey = ({ level, index }: TreePlace): Uint8Array =>
  bucketKey(BUCKET.journalNode, Uint8Array.of(level), index);

/** Where what makes the hash of a place lies: its node, or all of its entries. */
function keysOf(place: TreePlace): Uint8Array[] {
  if (place.level >= LEAST_LEVEL) return [nodeKey(place)];
  const width = 2 ** place.level;
  return Array.from({ length: width }, (_, i) => bucketKey(BUCKET.journalEntry, place.index * width + i));
}

async function readPlaces(kv: KV, places: readonly TreePlace[]): Promise<(Uint8Array | undefined)[]> {
  const keys = places.map(keysOf);
  const values = await kv.getMany(keys.flat());
  return places.map(({ level }, i) => {
    const own = values.splice(0, keys[i]?.length);
    if (own.some((value) => value === undefined)) return undefined;
    return level >= LEAST_LEVEL ? own[0] : merkleRoot(own as Uint8Array[]);
  });
}
