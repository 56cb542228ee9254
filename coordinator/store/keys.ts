import { writeU64be } from '#shared/crypto/bytes.ts';
import { Slab } from '#shared/slab.ts';

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
  /** chain (1 byte) ‖ u64 height → header. */
  header: 0x20,
  /** chain ‖ u64 height → body. */
  body: 0x21,
  /** chain → u64 height and hash of the sealed head, and for B the model root, the salt hash and how hard the next block is. */
  head: 0x22,
  /** tensor name → u64 B height of its newest sealed block: the parameter index. */
  tensorIndex: 0x23,
  /** payload hash → u64 height of the first block that carries it. */
  payloadHeight: 0x24,
  /** model root → u64 B height of the block that sealed it. */
  rootHeight: 0x25,
  /** u64 B height → measured validation loss of the model sealed there. */
  validationLoss: 0x26,
  /** u64 number → bytes of a held-out shard of genesis; root ‖ u64 number → of one that a later Meta block names. */
  heldOutShard: 0x27,
  /** submission id → its record. */
  submission: 0x30,
  /** u64 order of arrival → submission id. */
  submissionOrder: 0x31,
  /** claim → u64 Unix milliseconds of its first arrival: see claims.ts. */
  claim: 0x32,
  /** u64 sequence → journal entry. */
  journalEntry: 0x40,
  /** address → balance, unsigned big-endian. */
  balance: 0x41,
  /** The journal's head and totals. */
  journalHead: 0x42,
  /** kind ‖ u64 sequence → work unit. */
  workUnit: 0x43,
  /** address → u64 number of transfers it has made. */
  accountNonce: 0x44,
  /** digest of a transfer → u64 sequence of its journal entry, u64 nonce, u64 expiry, signature (65). */
  transfer: 0x45,
  /** address ‖ u64 sequence → nothing: the journal entries that touch an account. */
  accountEntry: 0x46,
  /** u64 number of journal entries that stand in `accountEntry`. */
  accountIndex: 0x47,
  /** public key → enrolled worker. */
  worker: 0x50,
  /** public key → what the pool thinks of its results: see reputations.ts. */
  reputation: 0x51,
  /** u64 number → epoch: its seals, and its shards once they are revealed: see epochs.ts. */
  epoch: 0x60,
  /** Submission id → what workers found of it on held-out windows: see held-out-results.ts. */
  heldOutResult: 0x61,
  /** Submission id → submitter and amount of a reward that vests: see ledger/vesting.ts. */
  vesting: 0x62,
  /** u64 B height up to which seals are counted into epochs. */
  epochHeight: 0x63,
  /** SHA-256 of a one-time token → what it allows, and how often it was used: see worker-tokens.ts. */
  workerToken: 0x52,
  /** u64 sequence of a journal entry that forfeits → u64 amount. */
  forfeit: 0x64,
  /** level (1 byte, from 4) ‖ u64 index → hash of a complete subtree over the journal: see journal-tree.ts. */
  journalNode: 0x68,
  /** There while derived buckets are made anew: nobody may use them. See repair/reindex.ts. */
  reindexing: 0x69,
  /** hash of a share → u64 number of its unit in the grinding log. */
  shareHash: 0x70,
  /** digest of an adjustment → u64 sequence of its journal entry, and what was signed: see adjustment-records.ts. */
  adjustment: 0x6c,
  /** `ref` of a chat → what was reserved for it, and by which allowance: see chat-records.ts. */
  chat: 0x7c,
  /** digest of an allowance → what was signed, and how much of it is spent. */
  allowance: 0x7d,
  /** `ref` of a chat → nothing, until it is settled. */
  openChat: 0x7e,
} as const;

export type Bucket = (typeof BUCKET)[keyof typeof BUCKET];
/** Numbers become big-endian u64, so that they sort by value; texts are ASCII, such as addresses. */
export type KeyPart = Uint8Array | bigint | number | string;

const NUMBER_BYTES = 8;
const SLAB = new Slab();

/** Written in one go: a payout makes tens of thousands of keys. */
export function bucketKey(bucket: Bucket, ...parts: readonly KeyPart[]): Uint8Array {
  let length = 1;
  for (const part of parts) length += lengthOf(part);
  const key = SLAB.take(length);
  key[0] = bucket;
  let at = 1;
  for (const part of parts) {
    if (typeof part === 'string') for (let i = 0; i < part.length; i++) key[at + i] = part.charCodeAt(i);
    else if (part instanceof Uint8Array) key.set(part, at);
    else writeU64be(key, at, part);
    at += lengthOf(part);
  }
  return key;
}

const lengthOf = (part: KeyPart): number =>
  typeof part === 'string' || part instanceof Uint8Array ? part.length : NUMBER_BYTES;

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
