import { figure, type Goal, type Report } from '#test/bench/report.ts';

export type Show = (metric: string, value: number, unit?: string, goal?: Goal) => void;

export const NONE: Goal = { on: 'value', atMost: 0 };
export const atMost = (value: number): Goal => ({ on: 'value', atMost: value });
export const atLeast = (value: number): Goal => ({ on: 'value', atLeast: value });

/** Reports a figure of this drill. */
export function showTo(report: Report): Show {
  return (metric, value, unit = '', goal) =>
    report(figure({ name: 'workers', metric, value, unit, ...(goal && { goal }) }));
}
