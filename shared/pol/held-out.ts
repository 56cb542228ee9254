import { must } from '#shared/errors/pool-error.ts';
import { isLoss } from '#shared/pol/gate.ts';
import type { Loss } from '#shared/pol/sequential.ts';

/**
 * PROTOCOL §8: whether a submission holds on windows that nobody could train on: its mean gain there is at least half
 * of the δ that it was accepted with. A real gain falls a little on other text; one that was only learnt by heart is
 * gone. Windows on which the base has no finite loss say nothing of the candidate; one on which the candidate alone
 * has none is its fault. LOSS_NOT_FINITE for what is neither a loss nor null.
 */
export function holdsOut(base: readonly Loss[], candidate: readonly Loss[], deltaMicroNats: number): boolean {
  must(
    base.length === candidate.length && base.length > 0,
    'ATTESTATION',
    () => `expected as many losses on both sides, got ${base.length} and ${candidate.length}`,
  );
  must(
    [...base, ...candidate].every((loss) => loss === null || isLoss(loss)),
    'LOSS_NOT_FINITE',
    'expected every loss as whole micro-nats',
  );
  let windows = 0n;
  let gain = 0n;
  for (const [i, before] of base.entries()) {
    const after = candidate[i] as Loss;
    if (before === null) continue;
    if (after === null) return false;
    windows += 1n;
    gain += BigInt(before) - BigInt(after);
  }
  return 2n * gain >= windows * BigInt(deltaMicroNats);
}
