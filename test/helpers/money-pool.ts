import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Chain } from '#coordinator/chain/chain.ts';
import { createGenesis, DEV_TIMESTAMP_MS, writeGenesis } from '#coordinator/chain/genesis/create-genesis.ts';
import { UNSAFE_DEV_GOVERNOR, UNSAFE_DEV_POOL } from '#coordinator/chain/genesis/dev-keys.ts';
import { Salts } from '#coordinator/chain/salts.ts';
import { CommitStage } from '#coordinator/commit/commit.ts';
import { ChatFees } from '#coordinator/ledger/chat-fees.ts';
import { Ledger } from '#coordinator/ledger/ledger.ts';
import { RewardWindows } from '#coordinator/ledger/reward-windows.ts';
import { ShareLog } from '#coordinator/ledger/share-log.ts';
import { TRANSFER_DEFAULTS, Transfers } from '#coordinator/ledger/transfers.ts';
import { WorkUnits } from '#coordinator/ledger/work-units.ts';
import { bodiesOf, headerOf } from '#coordinator/mining/template.ts';
import { PayoutStage } from '#coordinator/payout/payout.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { PayloadStore } from '#coordinator/store/payload-store.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { type SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import { WriteLock } from '#coordinator/store/write-lock.ts';
import { blockHash, withNonce } from '#shared/block/header.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import type { Block } from '#shared/block/verify-block.ts';
import { blockFromBytes } from '#shared/block/verify-block.ts';

import { type KeyPair, keyPair, sign } from '#shared/crypto/keys.ts';
import { recoverAddress } from '#shared/crypto/recover.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { windowsOf } from '#shared/pol/certificate.ts';
import { gateRule } from '#shared/pol/rule.ts';
import { firstDecision, sequentialVerdict } from '#shared/pol/sequential.ts';
import { expectedHashes, meetsTarget, targetFromBits } from '#shared/pow/target.ts';
import { attestationDigest } from '#shared/protocol/attestation.ts';
import { makeReceipts } from '#shared/protocol/receipt.ts';
import { signPayload, submissionId } from '#shared/protocol/submission.ts';
import { modelRoot, type TensorRef } from '#shared/weights/model-root.ts';
import { EASY_BITS, SMALL_TENSOR, smallContent } from '#test/helpers/small-genesis.ts';

/** Evaluates and grinds for every pool here; its owner is itself. */
export const WORKER: KeyPair = keyPair(new Uint8Array(32).fill(77));
const SALT_SECRET = new Uint8Array(32).fill(5);
export const CHAT_TOKEN_UNITS = 100_000n;
const REWARD: Partial<Manifest['reward']> = { vesting_bp: 2_500, min_payout_units: 2_000_000_000n };

/** A folder with a chain of the small model, whose rewards vest in part and gather up to a minimum. */
export async function makeMoneyPool(dir: string): Promise<void> {
  const kv = await openRocksKv(join(dir, 'store'));
  const content = smallContent();
  const genesis = createGenesis({
    ...{ name: 'money', unsafeKeys: true, governor: UNSAFE_DEV_GOVERNOR, pool: UNSAFE_DEV_POOL },
    ...{ timestampMs: DEV_TIMESTAMP_MS, content, pow: { bits: EASY_BITS }, reward: REWARD },
    ...{ quorum: { attestations: 1 }, fees: { chat_token_units: CHAT_TOKEN_UNITS } },
  });
  await writeGenesis({ kv, payloads: new PayloadStore(kv) }, { genesis, content });
  await kv.close();
}

interface MoneyParts {
  readonly kv: KV;
  readonly chain: Chain;
  readonly ledger: Ledger;
  readonly units: WorkUnits;
  readonly windows: RewardWindows;
  readonly submissions: Submissions;
  readonly now: () => number;
}

/**
 * The parts of a pool that move money, on a real store, as the composition root puts them together: transfers, the
 * share log, payout and commit. What comes before a commit (uploads, evaluation, nonces) is made up, and checked by
 * it as always.
 */
export class MoneyPool {
  readonly kv: KV;
  readonly chain: Chain;
  readonly ledger: Ledger;
  readonly units: WorkUnits;
  readonly submissions: Submissions;
  readonly transfers: Transfers;
  readonly chats: ChatFees;
  readonly lock = new WriteLock();
  readonly #payout: PayoutStage;
  readonly #commit: CommitStage;
  readonly #shares: ShareLog;
  readonly #now: () => number;
  readonly #salts: Salts;
  readonly #spool = new Map<string, Uint8Array>();

  private constructor(parts: MoneyParts) {
    const { kv, chain, ledger, units, windows, submissions, now } = parts;
    const { lock } = this;
    this.kv = kv;
    this.chain = chain;
    this.ledger = ledger;
    this.units = units;
    this.submissions = submissions;
    this.#now = now;
    this.#salts = new Salts(chain.networkId, SALT_SECRET);
    const recover = async (signature: Uint8Array, digest: Uint8Array) => recoverAddress(signature, digest);
    this.transfers = new Transfers(
      { ...TRANSFER_DEFAULTS, gapMs: 30 },
      { kv, lock, ledger, networkId: chain.networkId, now, recover },
    );
    this.chats = new ChatFees({ kv, lock, ledger, chain, now, recover });
    this.#payout = new PayoutStage({ chain, windows, ledger, lock });
    const spool = { read: (hash: Uint8Array) => this.#read(hash) };
    const payloads = new PayloadStore(kv);
    this.#shares = new ShareLog({
      ...{ kv, units, now },
      receipts: (written) => makeReceipts(chain.networkId, written, WORKER),
    });
    const onCredited = () => {};
    const state = { chain, ledger, units, submissions };
    this.#commit = new CommitStage({ kv, lock, payloads, ...state, spool, now, onCredited });
  }

  static async open(dir: string, now: () => number = Date.now): Promise<MoneyPool> {
    const kv = await openRocksKv(join(dir, 'store'));
    try {
      const payloads = new PayloadStore(kv);
      const chain = await Chain.open(kv, payloads);
      // Of a commit that a crash cut off.
      await payloads.collect(async (hash) => (await chain.payloadHeight(hash)) !== undefined);
      const ledger = await Ledger.open(kv, chain.networkId);
      const units = await WorkUnits.open(kv, chain.networkId);
      const windows = new RewardWindows(units, chain);
      const submissions = await Submissions.open(kv, now);
      const pool = new MoneyPool({ kv, chain, ledger, units, windows, submissions, now });
      await pool.chats.start();
      return pool;
    } catch (error) {
      await kv.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.transfers.close();
    await this.kv.close();
  }

  /** A submission of one tensor with this value, on its way to the commit; nothing of it stands in the journal yet. */
  async prepare(miner: KeyPair, value: number): Promise<SubmissionRecord> {
    const { networkId, meta, sealed } = this.chain;
    const { dtype, shape } = sealed.tensors.get(SMALL_TENSOR) as TensorRef;
    const bytes = new Uint8Array(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value).buffer);
    const payloadHash = new Uint8Array(createHash('sha256').update(bytes).digest());
    this.#spool.set(payloadHash.join(), bytes);
    const signature = signPayload(networkId, payloadHash, miner);
    const tensor = {
      name: SMALL_TENSOR,
      dtype,
      shape: [...shape],
      payloadHash,
      bytes: bytes.length,
      signature,
    };
    const content = { miner: miner.publicKey, base: sealed.root, meta: meta.hash, tensors: [tensor] };
    const id = submissionId(networkId, content);
    await this.submissions.add({ id, ...content });
    for (const state of ['queued', 'evaluating'] as const) await this.submissions.move(id, state);
    const verdict = this.#judged(id, tensor);
    return this.submissions.move(id, 'evaluated', { verdict });
  }

  /** Plans the reward, seeks the nonce, and commits. Returns the height. */
  async commit(evaluated: SubmissionRecord): Promise<number> {
    const record = await this.submissions.move(evaluated.id, 'mining');
    const plan = await this.#payout.plan(record);
    const [only] = bodiesOf({ chain: this.chain, salts: this.#salts, record, ...plan });
    if (!only) throw new Error('the submission changes nothing');
    const { body, tensor } = only;
    const header = headerOf(this.chain, this.chain.sealed.position, {
      body,
      record,
      tensor,
      nowMs: this.#now(),
      bits: this.chain.meta.manifest.pow.bits,
    });
    const block = solved(header, body);
    await this.submissions.move(record.id, 'mined');
    await this.#add(block.hash, expectedHashes(block.header.bits));
    const { rewards } = plan;
    const sealed = await this.#commit.commit({ record, blocks: [block], rewards });
    return sealed.position.index;
  }

  /** Credits shares by the hashes they have, durably; how many of them were new. */
  async share(hashes: readonly Uint8Array[]): Promise<number> {
    const added = await Promise.allSettled(hashes.map((ref) => this.#add(ref, 1n)));
    for (const result of added)
      if (result.status === 'rejected' && PoolError.from(result.reason).code !== 'SHARE_DUPLICATE')
        throw result.reason;
    return added.filter(({ status }) => status === 'fulfilled').length;
  }

  #add(ref: Uint8Array, credit: bigint) {
    return this.#shares.add({ worker: WORKER.publicKey, address: WORKER.address, credit, ref });
  }

  async *#read(hash: Uint8Array): AsyncGenerator<Uint8Array> {
    const bytes = this.#spool.get(hash.join());
    if (!bytes) throw new PoolError('STORE_IO', 'the payload is gone');
    yield bytes;
  }

  /** What a quorum of one worker finds: every window a little better. */
  #judged(submission: Uint8Array, tensor: TensorRef) {
    const { networkId, meta, sealed } = this.chain;
    const { index: height, hash: head } = sealed.position;
    const rule = gateRule(meta.manifest, height);
    const salt = this.#salts.reveal(height, sealed.saltHash);
    const candidateRoot = modelRoot(new Map(sealed.tensors).set(tensor.name, { ...tensor, height }).values());
    const judged = { submission, head, salt, baseRoot: sealed.root, candidateRoot };
    const all = windowsOf(networkId, judged, { total: meta.manifest.validation.windows, rule });
    const count = firstDecision(
      all.map(() => 5_000_000),
      all.map(() => 4_900_000),
      rule,
    )?.windows;
    const windows = all.slice(0, count);
    const base = windows.map(() => 5_000_000);
    const candidate = windows.map(() => 4_900_000);
    const found = sequentialVerdict(base, candidate, rule);
    const signature = sign(
      attestationDigest(networkId, { ...judged, windows }, { base, candidate }),
      WORKER.secretKey,
    );
    const { meanBaseMicroNats, meanCandidateMicroNats, meanGainMicroNats, marginMicroNats } = found;
    return {
      ...{ head, salt, windows, passed: true, tokens: 1, evaluationMs: 1 },
      attestations: [{ worker: WORKER.publicKey, backend: 'none', base, candidate, signature }],
      owners: [WORKER.address],
      ...{ meanBaseMicroNats, meanCandidateMicroNats, meanGainMicroNats, marginMicroNats },
    };
  }
}

function solved(header: Uint8Array, body: Uint8Array): Block {
  const target = targetFromBits(EASY_BITS);
  for (let nonce = 0n; ; nonce++) {
    const bytes = withNonce(header, nonce);
    if (meetsTarget(blockHash(bytes), target)) return blockFromBytes(bytes, body);
  }
}
