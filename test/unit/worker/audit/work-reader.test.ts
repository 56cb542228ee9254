import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ChainsAudit, type SealedSubmission } from '#shared/block/audit-chains.ts';
import { blockFromBytes } from '#shared/block/verify-block.ts';
import { CHAIN, NETWORK } from '#test/helpers/forge.ts';
import type { AuditSource } from '#worker/audit/source.ts';
import { WorkReader } from '#worker/audit/work-reader.ts';

function sealsOf(): SealedSubmission[] {
  const chains = new ChainsAudit();
  chains.applyMeta(blockFromBytes(CHAIN.meta.header, CHAIN.meta.body), CHAIN.meta.payload);
  return CHAIN.blocks
    .map(({ header, body }) => chains.applyParameter(blockFromBytes(header, body)))
    .filter((sealed) => sealed !== undefined);
}

it('JOURNAL: work of a certificate that is not credited', async () => {
  const [, first, second] = sealsOf() as [SealedSubmission, SealedSubmission, SealedSubmission];
  const source = { workUnits: async () => CHAIN.work.evaluation } as Partial<AuditSource> as AuditSource;
  const inputs = { networkId: NETWORK, kind: 'evaluation', seals: [first], heldOut: new Map() } as const;
  const reader = new WorkReader(source, inputs);
  assert.throws(() => reader.mustCredit(first), { code: 'JOURNAL', message: /was never credited/ });
  await reader.readTo(second.seal.work.evaluation.seq);
  reader.mustCredit(first);
});
