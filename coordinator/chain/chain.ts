import { corrupt, stale } from '#coordinator/store/io-error.ts';
import { BUCKET, type Bucket, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import type { PayloadStore } from '#coordinator/store/payload-store.ts';
import { decodeParameterBody } from '#shared/block/body.ts';
import type { ChainId } from '#shared/block/header.ts';
import { decodeManifest } from '#shared/block/manifest.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import { type IndexedTensor, ParameterChain, type SealedModel } from '#shared/block/parameter-chain.ts';
import { type Block, blockFromBytes, positionOf } from '#shared/block/verify-block.ts';
import {
  collectBytes,
  concatBytes,
  equalBytes,
  readU64be,
  toHex,
  u64be,
  utf8ToBytes,
} from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { PowState } from '#shared/pow/difficulty.ts';

const byteOf = (chain: ChainId) => Uint8Array.of(chain.charCodeAt(0));
const utf8 = new TextDecoder();

/** The loss of the model sealed at a height: measured on the whole validation set, or estimated. */
export interface StoredLoss {
  readonly height: number;
  readonly microNats: number;
  readonly isMeasured: boolean;
  /** Unix milliseconds. */
  readonly at: number;
}

/** The dual chain as the coordinator holds it: heads and parameter index in memory, everything else by look-up. */
export class Chain {
  readonly #kv: KV;
  readonly #payloads: PayloadStore;
  readonly networkId: Uint8Array;
  #newestLoss: StoredLoss | null = null;
  #meta: MetaBlock;
  #sealed: SealedModel;
  #submissionsSealed = 0;

  private constructor(
    stores: { kv: KV; payloads: PayloadStore },
    state: { networkId: Uint8Array; meta: MetaBlock; sealed: SealedModel },
  ) {
    this.#kv = stores.kv;
    this.#payloads = stores.payloads;
    this.networkId = state.networkId;
    this.#meta = state.meta;
    this.#sealed = state.sealed;
  }

  /** True where the store holds a chain. */
  static async exists(kv: KV): Promise<boolean> {
    return (await kv.get(bucketKey(BUCKET.head, byteOf('B')))) !== undefined;
  }

  /** Reads heads and parameter index; STORE_CORRUPT where they do not fit each other. */
  static async open(kv: KV, payloads: PayloadStore): Promise<Chain> {
    const first = await readBlock(kv, 'A', 0);
    if (!first) throw corrupt('the store has no genesis block');
    if (await kv.get(bucketKey(BUCKET.reindexing))) throw stale('making the indices anew was broken off');
    const meta = await readMeta(kv, payloads);
    const sealed = await readSealed(kv);
    const chain = new Chain({ kv, payloads }, { networkId: first.hash, meta, sealed });
    // No two seals leave the same root, as no payload comes twice; one of them is that of genesis.
    chain.#submissionsSealed = (await countEntries(kv, BUCKET.rootHeight)) - 1;
    chain.#newestLoss = (await chain.losses()).at(-1) ?? null;
    return chain;
  }

  /** The newest Meta block. */
  get meta(): MetaBlock {
    return this.#meta;
  }

  /** The Meta block of this hash: what B blocks that point to it are ruled by. NOT_FOUND where chain A has none. */
  async metaOf(hash: Uint8Array): Promise<MetaBlock> {
    if (equalBytes(hash, this.#meta.hash)) return this.#meta;
    for (let index = this.#meta.index - 1; index >= 0; index--) {
      const block = await this.block('A', index);
      if (block && equalBytes(block.hash, hash)) return metaOf(block, this.#payloads);
    }
    throw new PoolError('NOT_FOUND', `there is no Meta block ${toHex(hash)}`);
  }

  /** The model after the last sealed submission. */
  get sealed(): SealedModel {
    return this.#sealed;
  }

  /** Submissions that the chain has sealed, without genesis. */
  get submissionsSealed(): number {
    return this.#submissionsSealed;
  }

  /** Of them those that stand below this B height. */
  async sealedBelow(height: number): Promise<number> {
    let count = -1; // genesis
    for await (const [, value] of this.#kv.entries(bucketRange(BUCKET.rootHeight)))
      if (Number(readU64be(value)) < height) count += 1;
    return count;
  }

  /** A copy to apply candidate blocks to. */
  fork(): ParameterChain {
    return new ParameterChain(this.networkId, this.#sealed);
  }

  height(chain: ChainId): number {
    return chain === 'A' ? this.#meta.index : this.#sealed.position.index;
  }

  block(chain: ChainId, index: number): Promise<Block | undefined> {
    return readBlock(this.#kv, chain, index);
  }

  /** Up to `limit` blocks from height `from`, in order. */
  async blocks(chain: ChainId, from: number, limit: number): Promise<Block[]> {
    const to = Math.min(from + limit, this.height(chain) + 1);
    const indices = Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
    const found = await Promise.all(indices.map((index) => this.block(chain, index)));
    return found.filter((block) => block !== undefined);
  }

  async payloadHeight(hash: Uint8Array): Promise<number | undefined> {
    const value = await this.#kv.get(bucketKey(BUCKET.payloadHeight, hash));
    return value && Number(readU64be(value));
  }

  /** B height that sealed this model root, if the chain ever had it. */
  async rootHeight(root: Uint8Array): Promise<number | undefined> {
    const value = await this.#kv.get(bucketKey(BUCKET.rootHeight, root));
    return value && Number(readU64be(value));
  }

  payloadSize(hash: Uint8Array): Promise<number> {
    return this.#payloads.size(hash);
  }

  hasPayload(hash: Uint8Array): Promise<boolean> {
    return this.#payloads.has(hash);
  }

  readPayload(hash: Uint8Array, range?: { start?: number; end?: number }): AsyncIterable<Uint8Array> {
    return this.#payloads.read(hash, range);
  }

  advance(sealed: SealedModel): void {
    this.#sealed = sealed;
    this.#submissionsSealed += 1;
  }

  /** Another Meta block rules from here on; `remeasure` where the losses known are those of another text. */
  advanceMeta(meta: MetaBlock, { remeasure }: { remeasure: boolean }): void {
    this.#meta = meta;
    if (remeasure) this.#newestLoss = null;
  }

  /** The loss that was recorded last. */
  get newestLoss(): StoredLoss | null {
    return this.#newestLoss;
  }

  async recordLoss(loss: StoredLoss): Promise<void> {
    this.#newestLoss = loss;
    const { height, microNats, at, isMeasured } = loss;
    const value = concatBytes(u64be(microNats), u64be(at), Uint8Array.of(isMeasured ? 1 : 0));
    await this.#kv.batch([put(bucketKey(BUCKET.validationLoss, height), value)], { durable: false });
  }

  /** Validation losses in order of height. */
  async losses(): Promise<StoredLoss[]> {
    const out = [];
    for await (const [key, value] of this.#kv.entries(bucketRange(BUCKET.validationLoss)))
      out.push({
        height: Number(readU64be(key, 1)),
        microNats: Number(readU64be(value)),
        at: Number(readU64be(value, 8)),
        // Those of earlier versions do not say so: they measured every head.
        isMeasured: value[16] !== 0,
      });
    return out;
  }
}

async function countEntries(kv: KV, bucket: Bucket): Promise<number> {
  let count = 0;
  for await (const _ of kv.entries(bucketRange(bucket))) count += 1;
  return count;
}

/** What makes a sealed submission visible: to be written in one durable batch, followed by `advance`. */
export function sealOps(blocks: readonly Block[], sealed: SealedModel): KvOp[] {
  return [
    ...blocks.flatMap(blockOps),
    ...tensorIndexOps(blocks.map(({ header, body }) => [decodeParameterBody(body).name, header.index])),
    rootHeightOp(sealed),
    headOp(sealed),
  ];
}

/** The parameter index: tensors by name with the height of their block. */
export function tensorIndexOps(tensors: Iterable<readonly [name: string, height: number]>): KvOp[] {
  return Array.from(tensors, ([name, height]) =>
    put(bucketKey(BUCKET.tensorIndex, utf8ToBytes(name)), u64be(height)),
  );
}

export function rootHeightOp({ root, position }: Pick<SealedModel, 'root' | 'position'>): KvOp {
  return put(bucketKey(BUCKET.rootHeight, root), u64be(position.index));
}

export function payloadHeightOp({ header: { payloadHash, index } }: Pick<Block, 'header'>): KvOp {
  return put(bucketKey(BUCKET.payloadHeight, payloadHash), u64be(index));
}

function blockOps(block: Block): KvOp[] {
  const { chainId, index } = block.header;
  return [
    put(bucketKey(BUCKET.header, byteOf(chainId), index), block.headerBytes),
    put(bucketKey(BUCKET.body, byteOf(chainId), index), block.body),
    payloadHeightOp(block),
  ];
}

/** What makes a Meta block visible. */
export function metaOps(block: Block): KvOp[] {
  return [...blockOps(block), metaHeadOp({ index: block.header.index, hash: block.hash })];
}

export function metaHeadOp({ index, hash }: Pick<MetaBlock, 'index' | 'hash'>): KvOp {
  return put(bucketKey(BUCKET.head, byteOf('A')), concatBytes(u64be(index), hash));
}

export function headOp({ position, root, saltHash, pow }: SealedModel): KvOp {
  const target = concatBytes(pow.rule, u64be(pow.bits), u64be(pow.blocks), u64be(pow.spentMs));
  const value = concatBytes(u64be(position.index), position.hash, root, saltHash, target);
  return put(bucketKey(BUCKET.head, byteOf('B')), value);
}

export async function readBlock(kv: KV, chain: ChainId, index: number): Promise<Block | undefined> {
  const [header, body] = await kv.getMany([
    bucketKey(BUCKET.header, byteOf(chain), index),
    bucketKey(BUCKET.body, byteOf(chain), index),
  ]);
  return header && body ? blockFromBytes(header, body) : undefined;
}

async function readMeta(kv: KV, payloads: PayloadStore): Promise<MetaBlock> {
  const head = await kv.get(bucketKey(BUCKET.head, byteOf('A')));
  const block = head && (await readBlock(kv, 'A', Number(readU64be(head))));
  if (!block) throw stale('the head of the Meta chain is missing, or leads nowhere');
  return metaOf(block, payloads);
}

async function metaOf(block: Block, payloads: PayloadStore): Promise<MetaBlock> {
  return {
    hash: block.hash,
    index: block.header.index,
    payloadHash: block.header.payloadHash,
    manifest: decodeManifest(await collectBytes(payloads.read(block.header.payloadHash))),
  };
}

async function readSealed(kv: KV): Promise<SealedModel> {
  const head = await kv.get(bucketKey(BUCKET.head, byteOf('B')));
  const block = head && (await readBlock(kv, 'B', Number(readU64be(head))));
  if (!head || !block) throw stale('the head of the Parameter chain is missing, or leads nowhere');
  const tensors = new Map<string, IndexedTensor>();
  for await (const [key, value] of kv.entries(bucketRange(BUCKET.tensorIndex))) {
    const height = Number(readU64be(value));
    const at = await readBlock(kv, 'B', height);
    if (!at) throw stale(`block B${height} of the parameter index is missing`);
    const { name, dtype, shape } = decodeParameterBody(at.body);
    if (name !== utf8.decode(key.subarray(1))) throw stale(`B${height} is not what the index says`);
    tensors.set(name, { name, dtype, shape, payloadHash: at.header.payloadHash, height });
  }
  const { seal } = decodeParameterBody(block.body);
  if (!seal) throw stale('the head of the Parameter chain seals no submission');
  const [root, saltHash] = [head.slice(40, 72), head.slice(72, 104)];
  return { position: positionOf(block), root, tensors, saltHash, work: seal.work, pow: readPow(head) };
}

function readPow(head: Uint8Array): PowState {
  const [bits = 0, blocks = 0, spentMs = 0] = [136, 144, 152].map((at) => Number(readU64be(head, at)));
  return { rule: head.slice(104, 136), bits, blocks, spentMs };
}
