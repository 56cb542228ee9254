import { type MetaBlock, MetaChain } from '#shared/block/meta-chain.ts';
import type { Block } from '#shared/block/verify-block.ts';
import { must } from '#shared/errors/pool-error.ts';
import { onBlock } from '#worker/audit/finding.ts';
import { readMetaPayload } from '#worker/audit/payloads.ts';
import { type AuditSource, blocksOf } from '#worker/audit/source.ts';

/** A Meta block as it was checked. */
export interface CheckedMeta {
  readonly block: Block;
  readonly meta: MetaBlock;
}

/** Every Meta block of a pool from A0 on, each checked against the one before. */
export async function readMetaBlocks(source: AuditSource): Promise<readonly [CheckedMeta, ...CheckedMeta[]]> {
  const chain = new MetaChain();
  const checked: CheckedMeta[] = [];
  for await (const block of blocksOf(source, 'A')) {
    const payload = await readMetaPayload(source, block.header);
    checked.push({ block, meta: onBlock('A', checked.length, () => chain.apply(block, payload)) });
  }
  const [first, ...rest] = checked;
  must(first, 'BLOCK_LINK', 'the pool has no Meta block');
  return [first, ...rest];
}
