/** One measured figure of a benchmark or drill, as `--json` prints it. */
export interface Figure {
  /** The benchmark or drill. */
  readonly name: string;
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  /** What the value is compared with, measured in the same run, in the same unit. */
  readonly anchor: string | null;
  readonly anchorValue: number | null;
  /** value / anchorValue. */
  readonly ratio: number | null;
  /** The goal in words, e.g. `ratio >= 12`; null for a figure that is only shown. */
  readonly goal: string | null;
  readonly ok: boolean;
}

export type Report = (figure: Figure) => void;

/** What to run of a benchmark that has sections or runs on several backends. */
export interface Choice {
  /** Names of sections; none means all. */
  readonly only: readonly string[];
  readonly backend: string;
}

/** A goal is set on the value, or on its ratio to the anchor. */
export interface Goal {
  readonly on: 'value' | 'ratio';
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Measurement {
  readonly name: string;
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  readonly anchor?: { readonly name: string; readonly value: number };
  readonly goal?: Goal;
}

/** Measurement → figure: computes the ratio and judges the goal. What is not finite misses every goal. */
export function figure({ name, metric, value, unit, anchor, goal }: Measurement): Figure {
  const ratio = anchor === undefined ? null : value / anchor.value;
  return {
    name,
    metric,
    value,
    unit,
    anchor: anchor?.name ?? null,
    anchorValue: anchor?.value ?? null,
    ratio,
    goal: goal === undefined ? null : goalText(goal),
    ok: goal === undefined ? Number.isFinite(value) : meets(goal, goal.on === 'value' ? value : ratio),
  };
}

function meets({ atLeast, atMost }: Goal, measured: number | null): boolean {
  if (measured === null || !Number.isFinite(measured)) return false;
  return (atLeast === undefined || measured >= atLeast) && (atMost === undefined || measured <= atMost);
}

function goalText({ on, atLeast, atMost }: Goal): string {
  const lower = atLeast === undefined ? [] : [`${on} >= ${atLeast}`];
  const upper = atMost === undefined ? [] : [`${on} <= ${atMost}`];
  return [...lower, ...upper].join(', ');
}
