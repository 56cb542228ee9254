import type { Chain } from '#coordinator/chain/chain.ts';
import { corrupt } from '#coordinator/store/io-error.ts';
import { decodeParameterBody, type Seal } from '#shared/block/body.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { modelRoot, type TensorRef } from '#shared/weights/model-root.ts';

/** A submission as its blocks have it, long after: what it changed, and the model that it changed. */
export interface SealedChange {
  readonly submission: Uint8Array;
  readonly miner: Uint8Array;
  readonly seal: Seal;
  /** Model root before and after it. */
  readonly base: Uint8Array;
  readonly root: Uint8Array;
  readonly before: ReadonlyMap<string, TensorRef>;
  readonly changed: readonly TensorRef[];
}

/** Reads the submission whose blocks stand at these B heights. STORE_CORRUPT where the blocks do not fit. */
export async function sealedAt(
  chain: Chain,
  heights: { first: number; last: number },
): Promise<SealedChange> {
  const { first, last } = heights;
  const blocks = await chain.blocks('B', first, last - first + 1);
  const seal = blocks.at(-1);
  if (!seal) throw corrupt(`block B${last} is missing`);
  const body = decodeParameterBody(seal.body);
  if (!body.seal) throw corrupt(`block B${last} seals nothing`);
  const before = await modelAt(chain, first - 1);
  if (!equalBytes(modelRoot(before.values()), body.seal.base))
    throw corrupt(`the blocks below B${first} do not make the model ${toHex(body.seal.base)}`);
  return {
    submission: body.submission,
    miner: seal.header.minerPub,
    seal: body.seal,
    base: body.seal.base,
    root: body.root,
    before,
    changed: blocks.map(tensorOf),
  };
}

/** Tensors of the model at a height: those that are still at the head, and below it what was there before. */
async function modelAt(chain: Chain, height: number): Promise<Map<string, TensorRef>> {
  const tensors = new Map<string, TensorRef>();
  let missing = 0;
  for (const tensor of chain.sealed.tensors.values())
    if (tensor.height <= height) tensors.set(tensor.name, tensor);
    else missing += 1;
  for (let at = height; missing > 0 && at >= 0; at--) {
    const block = await chain.block('B', at);
    if (!block) throw corrupt(`block B${at} is missing`);
    const tensor = tensorOf(block);
    if (tensors.has(tensor.name)) continue;
    tensors.set(tensor.name, tensor);
    missing -= 1;
  }
  return tensors;
}

function tensorOf({ body, header }: { body: Uint8Array; header: { payloadHash: Uint8Array } }): TensorRef {
  const { name, dtype, shape } = decodeParameterBody(body);
  return { name, dtype, shape, payloadHash: header.payloadHash };
}
