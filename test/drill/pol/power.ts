import { DEV_GATE } from '#coordinator/chain/genesis/gates.ts';
import { gateRule } from '#shared/pol/rule.ts';
import { firstDecision, lastLook, type SequentialRule } from '#shared/pol/sequential.ts';
import { figure, type Goal, type Measurement, type Report } from '#test/bench/report.ts';
import { candidatesAs, candidatesThatGain, draw } from '#test/drill/pol/spread.ts';

const LEVEL = 4_600_000;
/** Draws of the windows, for each candidate. */
const DRAWS = 300;
/** Rare events want many. */
const DRAWS_OF_FALSE = 8_000;

const show = (report: Report, measurement: Omit<Measurement, 'name' | 'unit'>) =>
  report(figure({ name: 'pol', unit: '', ...measurement }));

/**
 * What the gate of the development network makes of real candidates, for every δ that its decay reaches: those that gain
 * 2δ, those that gain just δ, and those that gain nothing.
 */
export function powerDrill(report: Report): void {
  for (const rule of rules()) {
    const { deltaMicroNats: delta } = rule;
    const named = (metric: string) => `δ ${delta}: ${metric}`;
    const better = judgeAll(candidatesThatGain(2 * delta), rule, DRAWS);
    show(report, { metric: named('gain of 2δ accepted'), value: better.accepted, goal: atLeast(0.95) });
    show(report, { metric: named('windows of it, of all'), value: better.windows });
    const equal = judgeAll(candidatesAs(2 * delta, 0), rule, DRAWS);
    show(report, { metric: named('no gain accepted'), value: equal.accepted, goal: atMost(0) });
    show(report, { metric: named('windows of it, of all'), value: equal.windows, goal: atMost(0.25) });
    const just = candidatesAs(2 * delta, delta);
    const single = { ...rule, looks: [lastLook(rule)] };
    const anchor = {
      name: 'one look at all windows',
      value: judgeAll(just, single, DRAWS_OF_FALSE).accepted,
    };
    const { accepted: value } = judgeAll(just, rule, DRAWS_OF_FALSE);
    show(report, { metric: named('gain of δ accepted'), value, anchor, goal: { on: 'ratio', atMost: 1.1 } });
  }
}

/** The gate at each step of its decay. */
function rules(): SequentialRule[] {
  const { decay, delta_micro_nats: first } = DEV_GATE;
  const found = new Map<number, SequentialRule>();
  for (let height = 0; decay && !found.has(Math.min(first, decay.floor_micro_nats)); height += decay.blocks) {
    const rule = gateRule({ gate: DEV_GATE }, height);
    found.set(rule.deltaMicroNats, rule);
  }
  return [...found.values()];
}

function judgeAll(candidates: readonly number[][], rule: SequentialRule, draws: number) {
  const all = lastLook(rule);
  const base = Array.from({ length: all }, () => LEVEL);
  let accepted = 0;
  let windows = 0;
  for (const gains of candidates)
    for (let i = 0; i < draws; i++) {
      const candidate = draw(gains, all).map((gain) => LEVEL - gain);
      const decided = firstDecision(base, candidate, rule);
      if (decided?.stop === 'clear') accepted += 1;
      windows += decided?.windows ?? all;
    }
  const runs = candidates.length * draws;
  return { accepted: accepted / runs, windows: windows / (runs * all) };
}

const atLeast = (value: number): Goal => ({ on: 'value', atLeast: value });
const atMost = (value: number): Goal => ({ on: 'value', atMost: value });
