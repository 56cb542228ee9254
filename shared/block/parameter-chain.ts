import { sha256 } from '@noble/hashes/sha2.js';
import { decodeParameterBody, type ParameterBody, type Seal } from '#shared/block/body.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import {
  BEFORE_GENESIS,
  type Block,
  type ChainPosition,
  positionOf,
  verifyBlock,
} from '#shared/block/verify-block.ts';
import { equalBytes, isZero, toHex, ZERO_32 } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { verifyCertificate } from '#shared/pol/certificate.ts';
import type { GateVerdict } from '#shared/pol/gate.ts';
import { tensorBytes } from '#shared/weights/dtype.ts';
import { parseModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { modelRoot, type TensorRef } from '#shared/weights/model-root.ts';

/** Genesis and Meta blocks stand on signatures, not on work: half of all hashes meet this target. */
export const GENESIS_BITS = 0x207fffff;

/** A tensor of the model with the B height of its newest sealed block. */
export interface IndexedTensor extends TensorRef {
  readonly height: number;
}

/** The model after the last sealed submission. */
export interface SealedModel {
  readonly position: ChainPosition;
  readonly root: Uint8Array;
  readonly tensors: ReadonlyMap<string, IndexedTensor>;
  /** Hash of the salt that submissions judged on this head get. */
  readonly saltHash: Uint8Array;
}

export interface AppliedBlock {
  readonly body: ParameterBody;
  /** Set when this block seals its submission. */
  readonly verdict?: GateVerdict | null;
}

/**
 * Checks Parameter block after Parameter block and keeps the model they make. Pure: the commit stage runs it over a
 * copy before anything is written, a start and an audit run it over all blocks. PROTOCOL §6.
 */
export class ParameterChain {
  readonly #networkId: Uint8Array;
  #position: ChainPosition;
  #sealed: SealedModel;
  /** Tensors of the submission whose parts are being applied. */
  #nextPart = 0;
  #open: { submission: Uint8Array; parts: number; tensors: Map<string, IndexedTensor> } | undefined;
  #shapes: { meta: Uint8Array; shapes: ReadonlyMap<string, readonly number[]> } | undefined;

  constructor(networkId: Uint8Array, sealed?: SealedModel) {
    this.#networkId = networkId;
    this.#sealed = sealed ?? {
      position: BEFORE_GENESIS,
      root: ZERO_32,
      tensors: new Map(),
      saltHash: ZERO_32,
    };
    this.#position = this.#sealed.position;
  }

  get sealed(): SealedModel {
    return this.#sealed;
  }

  /** True between the first part of a submission and its seal. */
  get isOpen(): boolean {
    return this.#open !== undefined;
  }

  /** Checks everything about the block but the payload's bytes. */
  apply(block: Block, meta: MetaBlock): AppliedBlock {
    const { header } = block;
    must(header.chainId === 'B', 'BLOCK_LINK', 'expected a block of chain B');
    verifyBlock(block, this.#position, this.#networkId);
    must(
      equalBytes(header.pointsTo, meta.hash),
      'BLOCK_LINK',
      () =>
        `B${header.index}: it points to Meta block ${toHex(header.pointsTo)}, expected ${toHex(meta.hash)}`,
    );
    const bits = this.#sealed.position.index < 0 ? GENESIS_BITS : meta.manifest.pow.bits;
    must(
      header.bits === bits,
      'BLOCK_HASH',
      () => `B${header.index}: expected bits ${bits}, got ${header.bits}`,
    );
    const body = decodeParameterBody(block.body);
    this.#checkTensor(block, body, meta);
    const tensors = this.#openPart(block, body);
    tensors.set(body.name, {
      name: body.name,
      dtype: body.dtype,
      shape: body.shape,
      payloadHash: header.payloadHash,
      height: header.index,
    });
    must(
      equalBytes(modelRoot(tensors.values()), body.root),
      'BLOCK_ROOT',
      () => `B${header.index}: the model root does not follow`,
    );
    this.#position = positionOf(block);
    if (body.part < body.parts - 1) {
      must(body.seal === undefined, 'BLOCK_BODY', `B${header.index}: only the last part has a seal`);
      return { body };
    }
    return { body, verdict: this.#close(block, body, meta) };
  }

  #checkTensor(block: Block, body: ParameterBody, meta: MetaBlock): void {
    const { index, payloadBytes } = block.header;
    if (this.#shapes?.meta !== meta.hash)
      this.#shapes = {
        meta: meta.hash,
        shapes: tensorShapes(parseModelConfig(JSON.parse(meta.manifest.config))),
      };
    const shape = this.#shapes.shapes.get(body.name);
    must(
      shape !== undefined,
      'WEIGHTS_NAMES',
      () => `B${index}: the model has no tensor ${JSON.stringify(body.name)}`,
    );
    must(
      shape.length === body.shape.length && shape.every((n, i) => n === body.shape[i]),
      'WEIGHTS_SHAPE',
      () => `B${index}: expected ${body.name} of shape [${shape.join(', ')}], got [${body.shape.join(', ')}]`,
    );
    must(
      tensorBytes(body.dtype, body.shape) === payloadBytes,
      'BLOCK_PAYLOAD',
      () => `B${index}: the payload size does not fit ${body.dtype} [${body.shape.join(', ')}]`,
    );
  }

  /** The tensors under change, after checking that this part is the one that comes next. */
  #openPart(block: Block, body: ParameterBody): Map<string, IndexedTensor> {
    const { index } = block.header;
    if (this.#open === undefined) {
      must(body.part === 0, 'BLOCK_BODY', `B${index}: expected the first part of a submission`);
      const genesis = this.#sealed.position.index < 0;
      must(isZero(body.submission) === genesis, 'BLOCK_BODY', `B${index}: only genesis has no submission`);
      this.#open = { submission: body.submission, parts: body.parts, tensors: new Map(this.#sealed.tensors) };
      this.#nextPart = 0;
    }
    must(
      equalBytes(body.submission, this.#open.submission) &&
        body.parts === this.#open.parts &&
        body.part === this.#nextPart,
      'BLOCK_BODY',
      `B${index}: expected part ${this.#nextPart} of ${this.#open.parts} of the open submission`,
    );
    const before = this.#open.tensors.get(body.name);
    must(
      before === undefined || !equalBytes(before.payloadHash, block.header.payloadHash),
      'PAYLOAD_KNOWN',
      `B${index}: ${body.name} does not change`,
    );
    must(
      before === undefined || before.height <= this.#sealed.position.index,
      'BLOCK_BODY',
      `B${index}: ${body.name} stands twice in its submission`,
    );
    this.#nextPart++;
    return this.#open.tensors;
  }

  #close(block: Block, body: ParameterBody, meta: MetaBlock): GateVerdict | null {
    const { index } = block.header;
    must(body.seal, 'BLOCK_BODY', `B${index}: the last part has no seal`);
    const open = this.#open;
    must(open, 'BLOCK_BODY', `B${index}: no submission is open`);
    must(
      equalBytes(body.seal.base, this.#sealed.root),
      'BLOCK_CERTIFICATE',
      `B${index}: it was judged against another model`,
    );
    const verdict = this.#judge(body, body.seal, meta);
    must(
      open.tensors.size === this.#shapes?.shapes.size,
      'WEIGHTS_NAMES',
      `B${index}: the model has ${this.#shapes?.shapes.size} tensors, got ${open.tensors.size}`,
    );
    this.#sealed = {
      position: this.#position,
      root: body.root,
      tensors: open.tensors,
      saltHash: body.seal.next_salt_hash,
    };
    this.#open = undefined;
    return verdict;
  }

  #judge(body: ParameterBody, seal: Seal, meta: MetaBlock): GateVerdict | null {
    if (this.#sealed.position.index < 0) {
      must(seal.certificate === null, 'BLOCK_CERTIFICATE', 'genesis has no certificate');
      return null;
    }
    must(seal.certificate, 'BLOCK_CERTIFICATE', 'the seal has no certificate');
    must(
      equalBytes(sha256(seal.salt), this.#sealed.saltHash),
      'BLOCK_CERTIFICATE',
      'the salt is not the one promised',
    );
    const judged = {
      submission: body.submission,
      head: this.#sealed.position.hash,
      salt: seal.salt,
      baseRoot: this.#sealed.root,
      candidateRoot: body.root,
    };
    return verifyCertificate(this.#networkId, judged, {
      certificate: seal.certificate,
      manifest: meta.manifest,
    });
  }
}
