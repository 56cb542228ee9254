import type { EpochDetail } from '#shared/api/epoch-schemas.ts';
import type { SealedSubmission } from '#shared/block/audit-chains.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { onBlock } from '#worker/audit/finding.ts';
import { compareLosses, evaluationJob, type LossComparison, type LossRun } from '#worker/audit/losses.ts';
import type { WindowLoss } from '#worker/evaluate/loss-cache.ts';

/** Of a submission whose epoch is over, as the pool shows it: what its re-check says, computed anew. None otherwise. */
export async function recheckHeldOut(
  sealed: SealedSubmission,
  shown: Iterable<EpochDetail>,
  run: LossRun,
): Promise<LossComparison[]> {
  const submission = toHex(sealed.submission);
  for (const epoch of shown) {
    const result = epoch.results.find((one) => one.submission === submission);
    if (result) return [await recheck(sealed, { epoch, result }, run)];
  }
  return [];
}

/**
 * Computes a submission's losses on the held-out windows of its epoch anew and holds every attestation of the re-check
 * against them. BLOCK_CERTIFICATE where one is off by more than the Meta block's tolerance.
 */
async function recheck(
  sealed: SealedSubmission,
  { epoch, result }: { epoch: EpochDetail; result: EpochDetail['results'][number] },
  run: LossRun,
): Promise<LossComparison> {
  const { first, count } = epoch.windows;
  const windows = Array.from({ length: count }, (_, i) => first + i);
  const shards = epoch.revealed.map(({ hash, path }) => ({ hash, path }));
  const heldOut = { root: epoch.root, first: epoch.first_shard, shards };
  const job = { ...evaluationJob(sealed, windows), heldOut };
  const found = await run.evaluator.evaluate(job, run.signal, run.progress);
  const height = sealed.after.position.index;
  const toleranceMicroNats = sealed.meta.manifest.quorum.tolerance_micro_nats;
  return onBlock('B', height, () => {
    const all = [...result.attestations, found];
    const finite = windows.map((_, i) =>
      all.every(({ base, candidate }) => areFinite(base[i], candidate[i])),
    );
    for (const { base, candidate } of all)
      must(
        windows.every((_, i) => finite[i] || !areFinite(base[i], candidate[i])),
        'BLOCK_CERTIFICATE',
        'a held-out loss is finite for one and not for another',
      );
    const those = (losses: readonly WindowLoss[]) => losses.filter((_, i) => finite[i]) as number[];
    const pair = ({ base, candidate }: (typeof all)[number]) => ({
      ...{ base: those(base), candidate: those(candidate) },
    });
    const compared = compareLosses(result.attestations.map(pair), pair(found));
    must(
      compared.largestMicroNats <= toleranceMicroNats,
      'BLOCK_CERTIFICATE',
      `an attested held-out loss is ${compared.largestMicroNats} micro-nats from the one found here, expected at most ${toleranceMicroNats}`,
    );
    const about = { height, submission: toHex(sealed.submission), windows: count, epoch: epoch.number };
    return { ...about, ...compared, toleranceMicroNats };
  });
}

const areFinite = (base: WindowLoss | undefined, candidate: WindowLoss | undefined): boolean =>
  typeof base === 'number' && typeof candidate === 'number';
