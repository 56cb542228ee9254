import { must } from '#shared/errors/pool-error.ts';
import { isLoss, type MicroNats } from '#shared/pol/gate.ts';

/**
 * PROTOCOL §8: whether a submission holds on windows that nobody could train on: its mean gain there is at least half
 * of the δ that it was accepted with. A real gain falls a little on other text; one that was only learnt by heart is
 * gone. LOSS_NOT_FINITE for losses that are none.
 */
export function holdsOut(
  base: readonly MicroNats[],
  candidate: readonly MicroNats[],
  deltaMicroNats: number,
): boolean {
  must(
    base.length === candidate.length && base.length > 0,
    'ATTESTATION',
    () => `expected as many losses on both sides, got ${base.length} and ${candidate.length}`,
  );
  must([...base, ...candidate].every(isLoss), 'LOSS_NOT_FINITE', 'expected every loss as whole micro-nats');
  const gain = base.reduce((sum, loss, i) => sum + BigInt(loss) - BigInt(candidate[i] as number), 0n);
  return 2n * gain >= BigInt(base.length) * BigInt(deltaMicroNats);
}
