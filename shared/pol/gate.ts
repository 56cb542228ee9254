import { must } from '#shared/errors/pool-error.ts';

/** One window's mean loss per token, quantised to whole micro-nats. */
export type MicroNats = number;
/** No window of a usable model comes near this; it bounds every sum. */
export const MAX_LOSS_MICRO_NATS = 1_000_000_000;

/** PROTOCOL §8: nats (float) → whole micro-nats; NaN, infinity and absurd values become null. */
export function quantiseLoss(nats: number): MicroNats | null {
  if (!Number.isFinite(nats)) return null;
  const micro = Math.round(nats * 1e6) + 0; // −0 becomes 0
  return micro >= 0 && micro <= MAX_LOSS_MICRO_NATS ? micro : null;
}

export interface GateRule {
  /** Margin the mean gain must keep over zero, in micro-nats. */
  readonly deltaMicroNats: number;
  /** Standard errors of confidence, in thousandths. */
  readonly zMilli: number;
}

export interface GateVerdict {
  readonly passed: boolean;
  readonly windows: number;
  /** Mean of base − candidate, rounded towards zero, micro-nats. */
  readonly meanGainMicroNats: number;
  readonly meanBaseMicroNats: number;
  readonly meanCandidateMicroNats: number;
  /** z·sd/√n rounded up, micro-nats: the half-width of the interval of the mean gain. */
  readonly marginMicroNats: number;
}

/**
 * The paired gate mean(d) − z·sd(d)/√n ≥ δ with d = base − candidate over the same windows, in integers:
 * with S = Σd, Q = Σd², it holds iff S ≥ nδ and (S − nδ)²·(n−1)·10⁶ ≥ zMilli²·(n·Q − S²). PROTOCOL §8.
 */
export function gate(
  base: readonly MicroNats[],
  candidate: readonly MicroNats[],
  rule: GateRule,
): GateVerdict {
  must(
    base.length === candidate.length && base.length >= 2,
    'ATTESTATION',
    () =>
      `expected the losses of two or more windows on both sides, got ${base.length} and ${candidate.length}`,
  );
  must([...base, ...candidate].every(isLoss), 'LOSS_NOT_FINITE', 'expected every loss as whole micro-nats');
  const n = BigInt(base.length);
  let sumBase = 0n;
  let sum = 0n;
  let squares = 0n;
  base.forEach((loss, i) => {
    const d = BigInt(loss) - BigInt(candidate[i] as number);
    sumBase += BigInt(loss);
    sum += d;
    squares += d * d;
  });
  const z = BigInt(rule.zMilli);
  const spread = n * squares - sum * sum; // n²·(n−1)/n · variance, always ≥ 0
  const lead = sum - n * BigInt(rule.deltaMicroNats);
  const passed = lead >= 0n && lead * lead * (n - 1n) * 1_000_000n >= z * z * spread;
  return {
    passed,
    windows: base.length,
    meanGainMicroNats: Number(sum / n),
    meanBaseMicroNats: Number(sumBase / n),
    meanCandidateMicroNats: Number((sumBase - sum) / n),
    marginMicroNats: Number(ceilDivide(ceilSqrt(ceilDivide(z * z * spread, (n - 1n) * 1_000_000n)), n)),
  };
}

export function isLoss(value: unknown): value is MicroNats {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= MAX_LOSS_MICRO_NATS;
}

function ceilDivide(value: bigint, by: bigint): bigint {
  return (value + by - 1n) / by;
}

/** Smallest r with r² ≥ value, by Newton's method. */
function ceilSqrt(value: bigint): bigint {
  if (value < 2n) return value;
  let r = 1n << BigInt(Math.ceil(value.toString(2).length / 2));
  for (;;) {
    const next = (r + value / r) >> 1n;
    if (next >= r) break;
    r = next;
  }
  return r * r === value ? r : r + 1n;
}
