import type { EpochDetail } from '#shared/api/epoch-schemas.ts';
import type { SealedSubmission } from '#shared/block/audit-chains.ts';
import { type AuditedEpoch, checkRevealed, type VestingAudit } from '#shared/block/audit-vesting.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import { collectBytes, fromHex, toHex } from '#shared/crypto/bytes.ts';
import { verifyMerklePath } from '#shared/crypto/merkle.ts';
import { must } from '#shared/errors/pool-error.ts';
import { heldOutShards } from '#shared/pol/epochs.ts';
import { heldOutWorkRef } from '#shared/reward/evaluation-credit.ts';
import { atAsync } from '#worker/audit/finding.ts';
import type { AuditSource } from '#worker/audit/source.ts';

export interface HeldOutRun {
  readonly vesting: VestingAudit;
  /** Fetch the shards too, and follow their paths to the root of the Meta block. */
  readonly shards: boolean;
  done(epochs: number): void;
}

/** What the pool shows of its epochs, by number. */
export type ShownEpochs = ReadonlyMap<number, EpochDetail>;

/**
 * Reads the evidence of every epoch that is over, as the chain makes them, and holds it against the rules of PROTOCOL
 * §8. BLOCK_CERTIFICATE where a pool shows something else.
 */
export async function checkEpochs(source: AuditSource, run: HeldOutRun): Promise<ShownEpochs> {
  const shown = new Map<number, EpochDetail>();
  for (const epoch of run.vesting.epochs) {
    if (!epoch.isOver) continue;
    await atAsync(`epoch ${epoch.number}`, async () => {
      const detail = await source.epoch(epoch.number);
      shown.set(epoch.number, detail);
      // An epoch is over a moment before its shards are there.
      if (detail.state === 'over' || detail.state === 'open') return;
      checkRevealed(epoch, {
        root: fromHex(detail.root, 32),
        indices: detail.revealed.map(({ index }) => index),
      });
      if (run.shards) await checkShards(source, epoch, detail);
      for (const result of detail.results) run.vesting.evidence(epoch, evidenceOf(result));
    });
    run.done(epoch.number + 1);
  }
  return shown;
}

/** Results on held-out windows by the `ref` of the work that they took, hex. */
export type HeldOutWork = ReadonlyMap<
  string,
  {
    readonly meta: MetaBlock;
    readonly attestations: readonly { readonly worker: Uint8Array; readonly base: readonly unknown[] }[];
  }
>;

/** What was shown, and checked, as work that may be credited. */
export function heldOutWork(
  networkId: Uint8Array,
  seals: readonly SealedSubmission[],
  shown: ShownEpochs,
): HeldOutWork {
  const metas = new Map(seals.map(({ submission, meta }) => [toHex(submission), meta]));
  const work = new Map<
    string,
    { meta: MetaBlock; attestations: { worker: Uint8Array; base: unknown[] }[] }
  >();
  for (const { results } of shown.values())
    for (const { submission, attestations } of results) {
      const meta = metas.get(submission);
      if (!meta) continue;
      const ref = toHex(heldOutWorkRef(networkId, fromHex(submission, 32)));
      const found = attestations.map(({ worker, base }) => ({ worker: fromHex(worker, 33), base }));
      work.set(ref, { meta, attestations: found });
    }
  return work;
}

async function checkShards(
  source: AuditSource,
  epoch: AuditedEpoch,
  { revealed }: EpochDetail,
): Promise<void> {
  const [first] = epoch.members;
  const size = first ? heldOutShards(first.meta.manifest.validation) : 0;
  for (const { index, hash, bytes, path } of revealed) {
    const leaf = await collectBytes(await source.payload(hash));
    const claim = { leaf, index, size, path: path.map((node) => fromHex(node, 32)) };
    must(
      leaf.length === bytes && verifyMerklePath(epoch.root, claim),
      'BLOCK_CERTIFICATE',
      `shard ${index}: its bytes do not lead to the root of the held-out part`,
    );
  }
}

function evidenceOf({ submission, held, attestations }: EpochDetail['results'][number]) {
  return {
    submission: fromHex(submission, 32),
    held,
    attestations: attestations.map(({ worker, backend, base, candidate, signature }) => ({
      ...{ worker: fromHex(worker, 33), backend, base, candidate, signature: fromHex(signature, 64) },
    })),
  };
}
