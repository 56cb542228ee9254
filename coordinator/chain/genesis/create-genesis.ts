import { createHash } from 'node:crypto';
import { metaOps, sealOps } from '#coordinator/chain/chain.ts';
import type { GenesisContent, GenesisTensor } from '#coordinator/chain/genesis/content.ts';
import { DEV_GATE } from '#coordinator/chain/genesis/gates.ts';
import { counted, UNWATCHED, type Watch } from '#coordinator/progress.ts';
import { genesisShardOps } from '#coordinator/store/held-out-shards.ts';
import type { KV } from '#coordinator/store/kv.ts';
import type { PayloadStore } from '#coordinator/store/payload-store.ts';
import { bodyHash, encodeBody, type ParameterBody } from '#shared/block/body.ts';
import {
  type BlockHeader,
  blockHash,
  encodeHeader,
  HEADER_VERSION,
  withNonce,
} from '#shared/block/header.ts';
import { EMPTY_JOURNAL } from '#shared/block/journal.ts';
import { encodeManifest, type Manifest } from '#shared/block/manifest.ts';
import { MetaChain, metaDigest } from '#shared/block/meta-chain.ts';
import { GENESIS_BITS, ParameterChain } from '#shared/block/parameter-chain.ts';
import {
  BEFORE_GENESIS,
  type Block,
  blockFromBytes,
  type ChainPosition,
  positionOf,
} from '#shared/block/verify-block.ts';
import { NO_WORK } from '#shared/block/work-log.ts';
import { toHex, ZERO_32 } from '#shared/crypto/bytes.ts';
import { type KeyPair, sign } from '#shared/crypto/keys.ts';
import { merkleRoot } from '#shared/crypto/merkle.ts';
import { UNIT } from '#shared/money.ts';
import { genesisSalt } from '#shared/pol/salts.ts';
import { countWindows } from '#shared/pol/windows.ts';
import { bitsFromTarget, meetsTarget, targetFromBits } from '#shared/pow/target.ts';
import { signPayload } from '#shared/protocol/submission.ts';
import { tensorBytes } from '#shared/weights/dtype.ts';
import { modelRoot, type TensorRef } from '#shared/weights/model-root.ts';

export interface GenesisOptions {
  readonly name: string;
  readonly unsafeKeys: boolean;
  readonly governor: KeyPair;
  readonly pool: KeyPair;
  readonly timestampMs: number;
  readonly content: GenesisContent;
  /** Compact target of the blocks after genesis; the development network's unless given. */
  readonly pow?: Manifest['pow'];
  /** What differs from the development network's quorum. */
  readonly quorum?: Partial<Manifest['quorum']>;
  /** What differs from the development network's gate. */
  readonly gate?: Partial<Manifest['gate']> | undefined;
  /** Seals of an epoch, and the shards it reveals; by the number of shards where it is left out. */
  readonly epoch?: Manifest['validation']['held_out']['epoch'] | undefined;
  /** What differs from the development network's reward. */
  readonly reward?: Partial<Manifest['reward']>;
  /** What differs from a chat that costs nothing. */
  readonly fees?: Partial<Manifest['fees']>;
}

/** A header takes about 2¹⁸ hashes: a tenth of a second of one core, enough to make spam cost something. */
const DEV_BITS = bitsFromTarget((1n << 238n) - 1n);
/** A sealed submission every minute or two makes an epoch some ten minutes long. */
const EPOCH_SEALS = 5;
/** The held-out part should last for so many epochs, unless each then reveals more windows than the gate draws. */
const EPOCHS = 18;
/** Two that check each other: enough among friends. Where strangers evaluate, more than may lie together. */
const QUORUM: Manifest['quorum'] = { attestations: 2, tolerance_micro_nats: 10, trusted_after: 10 };
/** Part of the submitter's share that waits for the held-out check: what it costs to be found out. */
const VESTING_BP = 3_000;
/**
 * 50 tokens for a gain a little above the first δ, from a quarter to twice as many by gain; halved every 210,000
 * submissions, so that some 21 million are ever issued, and never more.
 */
const REWARD: Manifest['reward'] = {
  units: 50n * UNIT,
  split_bp: { submitter: 6_000, evaluators: 2_000, grinders: 1_500, pool: 500 },
  window_units: 1_000,
  vesting_bp: VESTING_BP,
  schedule: {
    gain_micro_nats: 40_000,
    least_bp: 2_500,
    most_bp: 20_000,
    halving_seals: 210_000,
    supply_units: 21_000_000n * UNIT,
  },
};
/** 2026-01-01T00:00:00Z, so that the development network is the same everywhere. */
export const DEV_TIMESTAMP_MS = 1_767_225_600_000;
export interface Genesis {
  readonly meta: Block;
  readonly metaPayload: Uint8Array;
  readonly blocks: readonly Block[];
}

/** The first blocks of both chains: deterministic in its options, to the last byte. PROTOCOL §7. */
export function createGenesis(options: GenesisOptions): Genesis {
  const metaPayload = encodeManifest(manifestOf(options));
  const meta = metaBlock(metaPayload, options);
  return { meta, metaPayload, blocks: parameterBlocks(meta, options) };
}

/**
 * Checks genesis as any other block, stores the payloads, and makes the chain visible in one durable batch: until
 * then there is none, and a second try goes on with the payloads that are there.
 */
export async function writeGenesis(
  stores: { kv: KV; payloads: PayloadStore },
  { genesis, content }: { genesis: Genesis; content: GenesisContent },
  watch: Watch = UNWATCHED,
): Promise<void> {
  const metaChain = new MetaChain();
  const meta = metaChain.apply(genesis.meta, genesis.metaPayload);
  const chain = new ParameterChain(metaChain.networkId);
  for (const block of genesis.blocks) chain.apply(block, meta);
  await stores.payloads.put(meta.payloadHash, genesis.metaPayload);
  await storeTensors(stores.payloads, content.tensors, watch);
  const heldOut = genesisShardOps(content.heldOutShards);
  await stores.kv.batch([...heldOut, ...metaOps(genesis.meta), ...sealOps(genesis.blocks, chain.sealed)], {
    durable: true,
  });
}

async function storeTensors(
  payloads: PayloadStore,
  tensors: readonly GenesisTensor[],
  watch: Watch,
): Promise<void> {
  const bytesOf = ({ dtype, shape }: GenesisTensor) => tensorBytes(dtype, shape);
  watch.progress.begin(
    'Storing the weights',
    tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0),
  );
  let known = 0;
  const stored = new Set<string>(); // norms of ones, biases of zeros: many tensors have the same bytes
  for (const tensor of tensors) {
    const id = toHex(tensor.payloadHash);
    if (await payloads.has(tensor.payloadHash)) {
      if (!stored.has(id)) known++;
      watch.progress.add(bytesOf(tensor));
    } else {
      await payloads.put(tensor.payloadHash, counted(tensor.read(), watch));
      stored.add(id);
    }
  }
  watch.progress.end();
  if (known > 0) watch.progress.note(`${known} of ${tensors.length} tensors stood in the store already.`);
}

function manifestOf({
  name,
  unsafeKeys,
  governor,
  pool,
  content,
  pow,
  quorum,
  gate,
  epoch,
  reward,
  fees,
}: GenesisOptions): Manifest {
  const rule = { ...DEV_GATE, ...gate };
  return {
    v: 1,
    name,
    unsafe_keys: unsafeKeys,
    runtime: 'aiblock/1',
    rules: content.rules.map(({ name: rule, text }) => ({ name: rule, text })),
    config: content.configJson,
    tokenizer: content.tokenizerJson,
    chat_template: content.chatTemplate,
    ...(content.tokenizerConfigJson === undefined ? {} : { tokenizer_config: content.tokenizerConfigJson }),
    ...(content.generationConfigJson === undefined
      ? {}
      : { generation_config: content.generationConfigJson }),
    validation: {
      context: content.context,
      windows: countWindows(content.publicShards),
      shard_windows: content.shardWindows,
      root: merkleRoot(content.publicShards),
      shards: [...content.publicShards],
      held_out: {
        root: merkleRoot(content.heldOutShards),
        windows: countWindows(content.heldOutShards),
        epoch: epoch ?? epochOf(content, rule.windows),
      },
    },
    gate: rule,
    quorum: { ...QUORUM, ...quorum },
    pow: pow ?? { bits: DEV_BITS },
    reward: { ...REWARD, ...reward },
    fees: { chat_token_units: 0n, ...fees },
    pool_key: pool.publicKey,
    governors: { threshold: 1, keys: [governor.publicKey] },
  };
}

function epochOf(
  { heldOutShards, shardWindows }: GenesisContent,
  gateWindows: number,
): NonNullable<GenesisOptions['epoch']> {
  const most = Math.ceil(gateWindows / shardWindows);
  return {
    seals: EPOCH_SEALS,
    shards: Math.max(1, Math.min(most, Math.floor(heldOutShards.length / EPOCHS))),
  };
}

function metaBlock(payload: Uint8Array, { governor, pool, timestampMs }: GenesisOptions): Block {
  const payloadHash = sha256(payload);
  const signature = sign(
    metaDigest(ZERO_32, { index: 0, prevHash: ZERO_32, payloadHash }),
    governor.secretKey,
  );
  const body = encodeBody({ v: 1, signatures: [{ key: governor.publicKey, signature }] });
  return grind(
    {
      ...headerAt(BEFORE_GENESIS, timestampMs),
      chainId: 'A',
      pointsTo: ZERO_32,
      payloadHash,
      payloadBytes: payload.length,
      minerPub: pool.publicKey,
      payloadSig: signPayload(ZERO_32, payloadHash, pool),
      bodyHash: bodyHash(body),
    },
    body,
  );
}

/** One block per tensor, in name order; the last one seals the seeded model. */
function parameterBlocks(meta: Block, { content, pool, timestampMs }: GenesisOptions): Block[] {
  const networkId = meta.hash;
  const blocks: Block[] = [];
  const tensors: TensorRef[] = [];
  let previous = BEFORE_GENESIS;
  for (const [part, { name, dtype, shape, payloadHash }] of content.tensors.entries()) {
    tensors.push({ name, dtype, shape, payloadHash });
    const parts = content.tensors.length;
    const body: ParameterBody = {
      v: 1,
      submission: ZERO_32,
      part,
      parts,
      name,
      dtype,
      shape: [...shape],
      root: modelRoot(tensors),
      ...(part === parts - 1 ? { seal: genesisSeal(networkId) } : {}),
    };
    const encoded = encodeBody(body);
    const block = grind(
      {
        ...headerAt(previous, timestampMs),
        chainId: 'B',
        pointsTo: networkId,
        payloadHash,
        payloadBytes: tensorBytes(dtype, shape),
        minerPub: pool.publicKey,
        payloadSig: signPayload(networkId, payloadHash, pool),
        bodyHash: bodyHash(encoded),
      },
      encoded,
    );
    previous = positionOf(block);
    blocks.push(block);
  }
  return blocks;
}

function genesisSeal(networkId: Uint8Array): NonNullable<ParameterBody['seal']> {
  return {
    base: ZERO_32,
    salt: ZERO_32,
    next_salt_hash: sha256(genesisSalt(networkId)),
    certificate: null,
    journal: EMPTY_JOURNAL,
    work: NO_WORK,
    rewards: ZERO_32,
  };
}

const headerAt = (previous: ChainPosition, timestampMs: number) => ({
  version: HEADER_VERSION,
  index: previous.index + 1,
  timestampMs,
  prevHash: previous.hash,
  bits: GENESIS_BITS,
  nonce: 0n,
});

/** The lowest nonce that meets the target; genesis' target takes two tries on average. */
function grind(header: BlockHeader, body: Uint8Array): Block {
  const template = encodeHeader(header);
  const target = targetFromBits(header.bits);
  for (let nonce = 0n; ; nonce++) {
    const bytes = withNonce(template, nonce);
    if (meetsTarget(blockHash(bytes), target)) return blockFromBytes(bytes, body);
  }
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}
