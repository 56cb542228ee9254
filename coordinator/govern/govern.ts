import { sha256 } from '@noble/hashes/sha2.js';
import { type Chain, metaOps } from '#coordinator/chain/chain.ts';
import { metaBlockOf } from '#coordinator/govern/meta-block.ts';
import { laterShardOps } from '#coordinator/store/held-out-shards.ts';
import { corrupt } from '#coordinator/store/io-error.ts';
import { BUCKET, bucketKey } from '#coordinator/store/keys.ts';
import { del, type KV } from '#coordinator/store/kv.ts';
import type { PayloadStore } from '#coordinator/store/payload-store.ts';
import type { WriteLock } from '#coordinator/store/write-lock.ts';
import { type MetaBlock, MetaChain } from '#shared/block/meta-chain.ts';
import { type MetaProposal, signersOf } from '#shared/block/meta-proposal.ts';
import { type Block, positionOf } from '#shared/block/verify-block.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { readValidationSet } from '#shared/pol/validation-set.ts';

export interface GovernParts {
  readonly kv: KV;
  readonly lock: WriteLock;
  readonly chain: Chain;
  readonly payloads: PayloadStore;
  readonly now: () => number;
  /** The pool's own key, with which it signs the payloads of its blocks. */
  readonly poolKey: () => Promise<KeyPair>;
  /** Runs the change while nothing is mined, and has everything that goes by the Meta block go by the new one. */
  readonly between: <T>(change: () => Promise<T>) => Promise<T>;
  readonly onChanged: (meta: MetaBlock) => void;
}

export interface GovernedBlock {
  readonly block: Block;
  /** False where it stood before it was asked for again. */
  readonly isNew: boolean;
}

/**
 * Makes Meta blocks of what governors signed, each in one durable batch: checked as a stranger would, first on the
 * head of the moment, so that nothing is interrupted for what cannot stand, and again where it is made. PROTOCOL §7.
 */
export class GovernStage {
  readonly #parts: GovernParts;

  constructor(parts: GovernParts) {
    this.#parts = parts;
  }

  /** BLOCK_LINK where it is meant for another place or network; SIGNATURE, META_CHANGE and those of a Meta block. */
  async commit(proposal: MetaProposal): Promise<GovernedBlock> {
    const known = await this.#known(proposal);
    if (known) return { block: known, isNew: false };
    await this.#make(proposal);
    const { between, lock } = this.#parts;
    return { block: await between(() => lock.run(() => this.#write(proposal))), isNew: true };
  }

  /** The block that this proposal has become. */
  async #known({ index, prev, payload }: MetaProposal): Promise<Block | undefined> {
    const { chain } = this.#parts;
    const block = index <= chain.height('A') ? await chain.block('A', index) : undefined;
    if (!block || !equalBytes(block.header.prevHash, prev)) return undefined;
    return equalBytes(block.header.payloadHash, sha256(payload)) ? block : undefined;
  }

  async #make(proposal: MetaProposal): Promise<{ block: Block; meta: MetaBlock }> {
    const { chain, poolKey, now } = this.#parts;
    const { networkId, meta: current, sealed } = chain;
    must(equalBytes(proposal.network, networkId), 'BLOCK_LINK', 'the proposal was made for another network');
    must(
      proposal.index === current.index + 1 && equalBytes(proposal.prev, current.hash),
      'BLOCK_LINK',
      () =>
        `expected a proposal for A${current.index + 1} on ${toHex(current.hash)}, got A${proposal.index} on ${toHex(proposal.prev)}`,
    );
    // Before anything of the payload is read: it may be large, and a stranger's.
    const { threshold, keys } = current.manifest.governors;
    const signers = signersOf(proposal, keys).length;
    must(
      signers >= threshold,
      'SIGNATURE',
      () => `A${proposal.index}: expected ${threshold} governors' signatures, got ${signers}`,
    );
    const below = await chain.block('A', current.index);
    if (!below) throw corrupt(`block A${current.index} is missing`);
    const position = positionOf(below);
    const block = metaBlockOf(proposal, await poolKey(), {
      previous: position,
      head: sealed.position.hash,
      nowMs: now(),
    });
    const meta = new MetaChain({ networkId, current, position }).apply(block, proposal.payload);
    readValidationSet(meta.manifest);
    checkHeldOut(current, meta, proposal.held_out);
    return { block, meta };
  }

  async #write(proposal: MetaProposal): Promise<Block> {
    const { kv, chain, payloads, onChanged } = this.#parts;
    // Without a place in chain A it belongs to nothing, and the next start collects it.
    await payloads.put(sha256(proposal.payload), [proposal.payload]);
    const made = await this.#make(proposal);
    const remeasure = !sameValidation(chain.meta, made.meta);
    await kv.batch(
      [
        ...laterShardOps(proposal.held_out ?? []),
        // Losses on another text: the head is measured anew, also after a crash.
        ...(remeasure ? [del(bucketKey(BUCKET.validationLoss, chain.height('B')))] : []),
        ...metaOps(made.block),
      ],
      { durable: true },
    );
    chain.advanceMeta(made.meta, { remeasure });
    onChanged(made.meta);
    return made.block;
  }
}

/** A new root of the held-out part is worth nothing unless somebody has what stands under it. */
function checkHeldOut(current: MetaBlock, next: MetaBlock, shards: readonly Uint8Array[] | undefined): void {
  const { root } = next.manifest.validation.held_out;
  if (shards === undefined) {
    must(
      equalBytes(root, current.manifest.validation.held_out.root),
      'BLOCK_PAYLOAD',
      'the held-out part changes: expected its shards with the proposal',
    );
    return;
  }
  const { validation, config } = next.manifest;
  // Of the same form as the public ones, under their own root.
  readValidationSet({
    config,
    validation: { ...validation, root, windows: validation.held_out.windows, shards: [...shards] },
  });
}

const sameValidation = ({ manifest: a }: MetaBlock, { manifest: b }: MetaBlock): boolean =>
  equalBytes(a.validation.root, b.validation.root) && a.validation.context === b.validation.context;
