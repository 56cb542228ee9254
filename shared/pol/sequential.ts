import { must } from '#shared/errors/pool-error.ts';
import { type GateRule, type GateVerdict, gate, isLoss, type MicroNats } from '#shared/pol/gate.ts';

/** The gate with looks on the way: PROTOCOL §8. */
export interface SequentialRule extends GateRule {
  /** Numbers of windows after which it is looked at the losses, ascending. The last one decides. */
  readonly looks: readonly number[];
  /** What the rest would have to gain, in standard errors of the full test and thousandths, to save a candidate. */
  readonly hopelessZMilli: number;
  /** Standard errors of the windows so far, in thousandths, that are clear at any look; without it none before the half. */
  readonly clearZMilli?: number | undefined;
}

export type Standing = 'clear' | 'hopeless' | 'open';

/** `not-finite`: the candidate has a loss that is none. */
export interface SequentialVerdict extends GateVerdict {
  readonly stop: 'clear' | 'hopeless' | 'not-finite';
}

/** A loss, or null where it is not finite. */
export type Loss = MicroNats | null;

/**
 * Every line lies this much higher, z·65/64, where there are looks on the way: it takes back more than the chances
 * that the looks add. PROTOCOL §8 has the figures.
 */
const WIDER = { by: 65n, of: 64n };

/**
 * Where a candidate stands at a look, from the losses of the n windows so far. With A = Σd − nδ and its rise over
 * the standard error of the full test, B = A / (sd·√N): clear from B ≥ z on, in the second half, and before N where
 * A / (sd·√n) ≥ c; hopeless where B < z − h·(N − n)/N, so that the rest would have to rise by more than h. At n = N
 * it is one or the other.
 */
export function standing(
  base: readonly MicroNats[],
  candidate: readonly MicroNats[],
  rule: SequentialRule,
): Standing {
  const n = BigInt(base.length);
  const all = BigInt(lastLook(rule));
  const { lead, spread } = moments(base, candidate, rule.deltaMicroNats);
  const thousandth = WIDER.of * 1_000n;
  const z = BigInt(rule.zMilli) * (rule.looks.length > 1 ? WIDER.by : WIDER.of);
  const h = BigInt(rule.hopelessZMilli) * WIDER.of;
  // B ≥ k/N·thousandths, multiplied out and squared with its sign: no root is taken.
  const reach = signedSquare(lead) * n * (n - 1n) * all * thousandth * thousandth;
  const above = (k: bigint) => reach >= signedSquare(k) * spread;
  if (2n * n >= all && above(z * all)) return 'clear';
  if (n === all) return 'hopeless';
  if (isFarAbove({ lead, spread, windows: n }, rule.clearZMilli)) return 'clear';
  return above(z * all - h * (all - n)) ? 'open' : 'hopeless';
}

/** A / (sd·√n) ≥ c, squared with its sign. */
function isFarAbove(
  { lead, spread, windows }: { lead: bigint; spread: bigint; windows: bigint },
  clearZMilli: number | undefined,
): boolean {
  if (clearZMilli === undefined) return false;
  return signedSquare(lead) * (windows - 1n) * 1_000_000n >= BigInt(clearZMilli) ** 2n * spread;
}

/**
 * The verdict over losses that end at the look that decided, as an honest worker's do. ATTESTATION where they end
 * before or go on behind it, LOSS_NOT_FINITE where the base has a loss that is none.
 */
export function sequentialVerdict(
  base: readonly Loss[],
  candidate: readonly Loss[],
  rule: SequentialRule,
): SequentialVerdict {
  must(
    base.length === candidate.length && rule.looks.includes(base.length),
    'ATTESTATION',
    () =>
      `expected losses up to one of the looks ${rule.looks.join(', ')}, got ${base.length} and ${candidate.length}`,
  );
  const decided = firstDecision(base, candidate, rule);
  must(
    decided?.windows === base.length,
    'ATTESTATION',
    () =>
      `expected losses up to the look that decides, ${decided?.windows ?? 'a later one'}, got ${base.length}`,
  );
  if (decided.stop === 'not-finite') return { ...NO_FIGURES, windows: base.length, stop: 'not-finite' };
  const figures = gate(base as MicroNats[], candidate as MicroNats[], rule);
  return { ...figures, passed: decided.stop === 'clear', stop: decided.stop };
}

const NO_FIGURES = {
  passed: false,
  meanGainMicroNats: 0,
  meanBaseMicroNats: 0,
  meanCandidateMicroNats: 0,
  marginMicroNats: 0,
};

/** The first look at which these losses decide, or undefined when more are needed. */
export function firstDecision(
  base: readonly Loss[],
  candidate: readonly Loss[],
  rule: SequentialRule,
): { readonly windows: number; readonly stop: SequentialVerdict['stop'] } | undefined {
  must(base.every(isLoss), 'LOSS_NOT_FINITE', 'expected every loss of the base as whole micro-nats');
  for (const windows of rule.looks) {
    if (windows > base.length) return undefined;
    const seen = candidate.slice(0, windows);
    // Before any comparison: what is not finite compares with nothing.
    if (!seen.every(isLoss)) return { windows, stop: 'not-finite' };
    const at = standing(base.slice(0, windows), seen, rule);
    if (at !== 'open') return { windows, stop: at };
  }
  return undefined;
}

export function lastLook({ looks }: SequentialRule): number {
  return looks[looks.length - 1] as number;
}

/** A = Σd − nδ, and nΣd² − (Σd)², which is n·(n−1) times the variance of d. */
function moments(base: readonly MicroNats[], candidate: readonly MicroNats[], deltaMicroNats: number) {
  let sum = 0n;
  let squares = 0n;
  base.forEach((loss, i) => {
    const d = BigInt(loss) - BigInt(candidate[i] as number);
    sum += d;
    squares += d * d;
  });
  const n = BigInt(base.length);
  return { lead: sum - n * BigInt(deltaMicroNats), spread: n * squares - sum * sum };
}

const signedSquare = (x: bigint): bigint => (x < 0n ? -x * x : x * x);
