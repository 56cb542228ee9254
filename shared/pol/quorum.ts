import { isLoss } from '#shared/pol/gate.ts';
import type { Loss } from '#shared/pol/sequential.ts';

/** What one worker says of one evaluation; null where a loss is not finite. Both lists are of one length. */
export interface Result {
  readonly base: readonly Loss[];
  readonly candidate: readonly Loss[];
}

export interface QuorumRule {
  /** Results that must agree. */
  readonly needed: number;
  readonly toleranceMicroNats: number;
  /** A committee does not grow beyond it. */
  readonly most: number;
}

export type QuorumDecision<R> =
  | { readonly kind: 'agreed'; readonly agreeing: readonly R[]; readonly outvoted: readonly R[] }
  /** So many more results could settle it. */
  | { readonly kind: 'open'; readonly missing: number }
  | { readonly kind: 'split' };

/**
 * PROTOCOL §8: a group of results that agree with each other wins when it has the needed size and is more than half
 * of all that were heard. A disagreement asks for as many more as could settle it.
 */
export function decideQuorum<R extends Result>(results: readonly R[], rule: QuorumRule): QuorumDecision<R> {
  const agreeing = largestGroup(results, rule.toleranceMicroNats);
  const size = agreeing.length;
  if (size >= rule.needed && 2 * size > results.length)
    return { kind: 'agreed', agreeing, outvoted: results.filter((result) => !agreeing.includes(result)) };
  const missing = Math.max(rule.needed - size, results.length - 2 * size + 1);
  return results.length + missing <= rule.most ? { kind: 'open', missing } : { kind: 'split' };
}

/** Committees of twice the quorum and one: a minority of liars cannot hold the vote up. */
export function mostResults(needed: number): number {
  return 2 * needed + 1;
}

/**
 * Two results agree when on every window that both have, and on either side, they are within the tolerance of each
 * other, and their sums within half of it per window: rounding differs either way, a lie leans one way.
 */
export function agree(a: Result, b: Result, toleranceMicroNats: number): boolean {
  return (['base', 'candidate'] as const).every((side) => near(a[side], b[side], toleranceMicroNats));
}

function near(a: readonly Loss[], b: readonly Loss[], tolerance: number): boolean {
  const windows = Math.min(a.length, b.length);
  let sum = 0;
  for (let i = 0; i < windows; i++) {
    const x = a[i] ?? null;
    const y = b[i] ?? null;
    if (x === null && y === null) continue;
    if (!isLoss(x) || !isLoss(y) || Math.abs(x - y) > tolerance) return false;
    sum += x - y;
  }
  return 2 * Math.abs(sum) <= tolerance * windows;
}

/** The largest set of results of which each agrees with each; the earliest where several are as large. */
function largestGroup<R extends Result>(results: readonly R[], tolerance: number): R[] {
  let best: R[] = [];
  const grow = (group: R[], from: number) => {
    if (group.length > best.length) best = group;
    for (let i = from; i < results.length && group.length + results.length - i > best.length; i++) {
      const next = results[i] as R;
      if (group.every((member) => agree(member, next, tolerance))) grow([...group, next], i + 1);
    }
  };
  grow([], 0);
  return best;
}
