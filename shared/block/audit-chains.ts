import { bodyHash, decodeParameterBody, type Seal } from '#shared/block/body.ts';
import { type MetaBlock, MetaChain } from '#shared/block/meta-chain.ts';
import { type IndexedTensor, ParameterChain, type SealedModel } from '#shared/block/parameter-chain.ts';
import { BEFORE_GENESIS, type Block, positionOf } from '#shared/block/verify-block.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { GateVerdict } from '#shared/pol/gate.ts';
import { readValidationSet } from '#shared/pol/validation-set.ts';
import { NO_POW, type PowState, powAfter } from '#shared/pow/difficulty.ts';
import { modelRoot } from '#shared/weights/model-root.ts';

/** A submission that stands on the chain, with the model before and after it. */
export interface SealedSubmission {
  /** Zero at genesis. */
  readonly submission: Uint8Array;
  readonly miner: Uint8Array;
  /** B height of its first part. The last one is the position of `after`. */
  readonly first: number;
  readonly meta: MetaBlock;
  readonly seal: Seal;
  /** Null at genesis. */
  readonly verdict: GateVerdict | null;
  readonly before: SealedModel;
  readonly after: SealedModel;
}

/**
 * Replays both chains from their first blocks, as a stranger would: first all of A, then B. Besides what MetaChain
 * and ParameterChain check: which Meta block rules which part of B, that its validation set is the one it names, and
 * that no payload is paid for twice. PROTOCOL §6 and §7.
 */
export class ChainsAudit {
  readonly #metaChain = new MetaChain();
  /** The Meta block that rules the next B block. */
  #ruling: MetaBlock | undefined;
  /** Newer Meta blocks with the B head they were made on: they rule what comes behind it. */
  readonly #pending: { readonly meta: MetaBlock; readonly head: Uint8Array }[] = [];
  #parameters: ParameterChain | undefined;
  #open: { readonly first: Block; readonly before: SealedModel; readonly payloads: string[] } | undefined;
  readonly #payloads = new Set<string>();
  /** What was passed over so far. */
  #passed: SealedModel | undefined;
  #position = BEFORE_GENESIS;
  #pow: PowState = NO_POW;
  readonly #tensors = new Map<string, IndexedTensor>();

  get networkId(): Uint8Array {
    return this.#metaChain.networkId;
  }

  /** The newest Meta block. */
  get meta(): MetaBlock {
    return this.#metaChain.current;
  }

  /** The model after the last seal. */
  get sealed(): SealedModel {
    return this.#chainB().sealed;
  }

  applyMeta(block: Block, payload: Uint8Array): MetaBlock {
    const meta = this.#metaChain.apply(block, payload);
    readValidationSet(meta.manifest);
    if (meta.index === 0) this.#ruling = meta;
    else this.#pending.push({ meta, head: block.header.pointsTo });
    return meta;
  }

  /** Returns the submission when this block seals it. */
  applyParameter(block: Block): SealedSubmission | undefined {
    const chain = this.#chainB();
    const meta = this.#ruling as MetaBlock;
    const before = chain.sealed;
    const { body, verdict } = chain.apply(block, meta);
    this.#open ??= { first: block, before, payloads: [] };
    this.#checkPayload(block, this.#open.payloads);
    if (body.seal === undefined || verdict === undefined) return undefined;
    const { first, payloads } = this.#open;
    for (const payload of payloads) this.#payloads.add(payload);
    this.#open = undefined;
    this.#advanceRule(positionOf(block).hash);
    const { submission, seal } = body;
    const { index, minerPub: miner } = first.header;
    return { submission, miner, first: index, meta, seal, verdict, before, after: chain.sealed };
  }

  /**
   * Goes over a B block below the ones to be checked: only that it has the hash that the next one names, and that
   * its body is its own. Some hundred times faster than `applyParameter`, and enough to know the model it left: the
   * root of that is checked when the first block is applied.
   */
  passParameter(block: Block): void {
    const { header } = block;
    must(
      header.chainId === 'B' &&
        header.index === this.#position.index + 1 &&
        equalBytes(header.prevHash, this.#position.hash),
      'BLOCK_LINK',
      () => `B${header.index}: expected block ${this.#position.index + 1} on ${toHex(this.#position.hash)}`,
    );
    must(
      equalBytes(bodyHash(block.body), header.bodyHash),
      'BLOCK_BODY',
      () => `B${header.index}: the body has another hash`,
    );
    const body = decodeParameterBody(block.body);
    const { name, dtype, shape, root, seal } = body;
    const { index: height, payloadHash } = header;
    this.#tensors.set(name, { name, dtype, shape, payloadHash, height });
    this.#payloads.add(toHex(payloadHash));
    if (this.#ruling) {
      const passedMs = header.timestampMs - this.#position.timestampMs;
      this.#pow = powAfter(this.#ruling.manifest.pow, this.#pow, { ...body, passedMs });
    }
    this.#position = positionOf(block);
    this.#passed = undefined;
    if (seal === undefined) return;
    const { next_salt_hash: saltHash, work } = seal;
    this.#passed = {
      ...{ position: this.#position, root, tensors: this.#tensors },
      ...{ saltHash, work, pow: this.#pow },
    };
    this.#advanceRule(this.#position.hash);
  }

  /** At the end of B: no submission may be open, and every Meta block must have been made on a seal of B. */
  finish(): void {
    must(this.#open === undefined, 'BLOCK_BODY', 'the last submission of chain B is not sealed');
    const [left] = this.#pending;
    must(
      left === undefined,
      'BLOCK_LINK',
      () =>
        `A${left?.meta.index}: it was made on B head ${toHex(left?.head ?? new Uint8Array())}, which chain B does not have there`,
    );
  }

  #checkPayload({ header }: Block, payloads: string[]): void {
    const payload = toHex(header.payloadHash);
    must(
      !this.#payloads.has(payload),
      'PAYLOAD_KNOWN',
      `B${header.index}: an earlier submission has the same payload ${payload}`,
    );
    payloads.push(payload);
  }

  #advanceRule(sealedHash: Uint8Array): void {
    while (this.#pending[0] && equalBytes(this.#pending[0].head, sealedHash))
      this.#ruling = this.#pending.shift()?.meta;
  }

  #chainB(): ParameterChain {
    must(this.#ruling, 'BLOCK_LINK', 'chain B cannot be read before block A0');
    this.#parameters ??= new ParameterChain(this.networkId, this.#passedModel());
    return this.#parameters;
  }

  #passedModel(): SealedModel | undefined {
    const { index } = this.#position;
    if (index < 0) return undefined;
    const passed = this.#passed;
    must(passed, 'BLOCK_BODY', `B${index + 1}: the block before it does not seal a submission`);
    must(
      equalBytes(modelRoot(passed.tensors.values()), passed.root),
      'BLOCK_ROOT',
      `B${index}: the model root does not follow from the tensors up to it`,
    );
    return { ...passed, tensors: new Map(passed.tensors) };
  }
}
