import { sha256 } from '@noble/hashes/sha2.js';
import { decodeParameterBody, type ParameterBody, type Seal } from '#shared/block/body.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import {
  BEFORE_GENESIS,
  type Block,
  type ChainPosition,
  GENESIS_BITS,
  positionOf,
  verifyBlock,
} from '#shared/block/verify-block.ts';
import { NO_WORK, WORK_KINDS, type WorkPlaces } from '#shared/block/work-log.ts';
import { compareBytes, equalBytes, isZero, toHex, utf8ToBytes, ZERO_32 } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { verifyCertificate } from '#shared/pol/certificate.ts';
import type { GateVerdict } from '#shared/pol/gate.ts';
import { NO_POW, type PowState, powAfter, powUnder } from '#shared/pow/difficulty.ts';
import { tensorBytes } from '#shared/weights/dtype.ts';
import { parseConfigText, tensorShapes } from '#shared/weights/model-config.ts';
import { modelRoot, type TensorRef } from '#shared/weights/model-root.ts';

export { GENESIS_BITS };

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
  /** The logs of work that its seal names. */
  readonly work: WorkPlaces;
  /** How hard the next block is. */
  readonly pow: PowState;
}

export interface AppliedBlock {
  readonly body: ParameterBody;
  /** Set when this block seals its submission. */
  readonly verdict?: GateVerdict | null;
}

/** A submission whose parts are being applied. */
interface OpenSubmission {
  readonly submission: Uint8Array;
  readonly miner: Uint8Array;
  readonly parts: number;
  /** Part that comes next, and the tensor of the one before it. */
  readonly next: number;
  readonly lastName: string | undefined;
  readonly tensors: ReadonlyMap<string, IndexedTensor>;
}

/**
 * Checks Parameter block after Parameter block and keeps the model they make; a block that is refused changes nothing.
 * Pure: the commit stage runs it over a copy before anything is written, an audit runs it over all blocks.
 * PROTOCOL §6.
 */
export class ParameterChain {
  readonly #networkId: Uint8Array;
  #position: ChainPosition;
  #sealed: SealedModel;
  #pow: PowState;
  #open: OpenSubmission | undefined;
  #shapes: { meta: Uint8Array; shapes: ReadonlyMap<string, readonly number[]> } | undefined;

  constructor(networkId: Uint8Array, sealed?: SealedModel) {
    this.#networkId = networkId;
    this.#sealed = sealed ?? {
      position: BEFORE_GENESIS,
      root: ZERO_32,
      tensors: new Map(),
      saltHash: ZERO_32,
      work: NO_WORK,
      pow: NO_POW,
    };
    this.#position = this.#sealed.position;
    this.#pow = this.#sealed.pow;
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
    const { pow } = meta.manifest;
    const bits = this.#sealed.position.index < 0 ? GENESIS_BITS : powUnder(pow, this.#pow).bits;
    must(
      header.bits === bits,
      'BLOCK_HASH',
      () => `B${header.index}: expected bits ${bits}, got ${header.bits}`,
    );
    const body = decodeParameterBody(block.body);
    this.#checkTensor(block, body, meta);
    const open = this.#nextPart(block, body);
    must(
      equalBytes(modelRoot(open.tensors.values()), body.root),
      'BLOCK_ROOT',
      () => `B${header.index}: the model root does not follow`,
    );
    const passedMs = header.timestampMs - this.#position.timestampMs;
    const powNow = powAfter(pow, this.#pow, { ...body, passedMs });
    if (body.part < body.parts - 1) {
      must(body.seal === undefined, 'BLOCK_BODY', `B${header.index}: only the last part has a seal`);
      this.#position = positionOf(block);
      this.#pow = powNow;
      this.#open = open;
      return { body };
    }
    must(body.seal, 'BLOCK_BODY', `B${header.index}: the last part has no seal`);
    const verdict = this.#checkSeal(header.index, { body, seal: body.seal, open, meta });
    this.#position = positionOf(block);
    this.#pow = powNow;
    const { next_salt_hash: saltHash, work } = body.seal;
    const model = { root: body.root, tensors: open.tensors };
    this.#sealed = { position: this.#position, ...model, saltHash, work, pow: powNow };
    this.#open = undefined;
    return { body, verdict };
  }

  #checkTensor(block: Block, body: ParameterBody, meta: MetaBlock): void {
    const { index, payloadBytes } = block.header;
    if (this.#shapes?.meta !== meta.hash)
      this.#shapes = {
        meta: meta.hash,
        shapes: tensorShapes(parseConfigText(meta.manifest.config)),
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

  /** The submission with this part, after checking that it is the one that comes next. */
  #nextPart(block: Block, body: ParameterBody): OpenSubmission {
    const { index, payloadHash, minerPub } = block.header;
    const open = this.#open ?? this.#begin(block, body);
    must(
      equalBytes(body.submission, open.submission) && body.parts === open.parts && body.part === open.next,
      'BLOCK_BODY',
      `B${index}: expected part ${open.next} of ${open.parts} of the open submission`,
    );
    must(
      equalBytes(minerPub, open.miner),
      'BLOCK_BODY',
      `B${index}: the parts of its submission have different miners`,
    );
    const { name, dtype, shape } = body;
    must(
      open.lastName === undefined || compareBytes(utf8ToBytes(open.lastName), utf8ToBytes(name)) < 0,
      'BLOCK_BODY',
      () => `B${index}: expected a tensor behind ${open.lastName} in name order, got ${name}`,
    );
    const before = open.tensors.get(name);
    must(
      before === undefined || before.dtype === dtype,
      'WEIGHTS_DTYPE',
      () => `B${index}: expected ${name} as ${before?.dtype}, got ${dtype}`,
    );
    must(
      before === undefined || !equalBytes(before.payloadHash, payloadHash),
      'PAYLOAD_KNOWN',
      `B${index}: ${name} does not change`,
    );
    const tensors = new Map(open.tensors).set(name, { name, dtype, shape, payloadHash, height: index });
    return { ...open, next: open.next + 1, lastName: name, tensors };
  }

  #begin(block: Block, body: ParameterBody): OpenSubmission {
    const { index, minerPub: miner } = block.header;
    must(body.part === 0, 'BLOCK_BODY', `B${index}: expected the first part of a submission`);
    const genesis = this.#sealed.position.index < 0;
    must(isZero(body.submission) === genesis, 'BLOCK_BODY', `B${index}: only genesis has no submission`);
    const { submission, parts } = body;
    return { submission, miner, parts, next: 0, lastName: undefined, tensors: this.#sealed.tensors };
  }

  #checkSeal(
    index: number,
    { body, seal, open, meta }: { body: ParameterBody; seal: Seal; open: OpenSubmission; meta: MetaBlock },
  ): GateVerdict | null {
    must(
      equalBytes(seal.base, this.#sealed.root),
      'BLOCK_CERTIFICATE',
      `B${index}: it was judged against another model`,
    );
    this.#checkWork(index, seal);
    const verdict = this.#judge(body, seal, meta);
    must(
      open.tensors.size === this.#shapes?.shapes.size,
      'WEIGHTS_NAMES',
      `B${index}: the model has ${this.#shapes?.shapes.size} tensors, got ${open.tensors.size}`,
    );
    return verdict;
  }

  /** The logs only grow, and are empty in genesis. */
  #checkWork(index: number, { work }: Seal): void {
    for (const kind of WORK_KINDS) {
      const [before, now] = [this.#sealed.work[kind], work[kind]];
      const isSame = now.seq === before.seq && equalBytes(now.head, before.head);
      const mayGrow = this.#sealed.position.index >= 0;
      must(
        isSame || (mayGrow && now.seq > before.seq),
        'BLOCK_BODY',
        () => `B${index}: expected a ${kind} log that goes on from ${before.seq} units, got ${now.seq}`,
      );
    }
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
      height: this.#sealed.position.index,
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
