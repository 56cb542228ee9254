import { DEV_GATE, trainedGate } from '#coordinator/chain/genesis/gates.ts';
import { gateRule } from '#shared/pol/rule.ts';
import { firstDecision, lastLook, type SequentialRule } from '#shared/pol/sequential.ts';
import { figure, type Goal, type Measurement, type Report } from '#test/bench/report.ts';
import { candidatesAs, candidatesThatGain, draw } from '#test/drill/pol/spread.ts';

const LEVEL = 4_600_000;
/** Draws of the windows, for each candidate. */
const DRAWS = 300;
/** Rare events want many. */
const DRAWS_OF_FALSE = 6_000;

const show = (report: Report, measurement: Omit<Measurement, 'name' | 'unit'>) =>
  report(figure({ name: 'pol', unit: '', ...measurement }));

/**
 * What the gate makes of real candidates, for every δ that its decay reaches in the development network, and those of
 * trained models: of candidates that gain 2δ, just δ, and nothing.
 */
export function powerDrill(report: Report): void {
  for (const rule of [...developmentRules(), ...TRAINED]) {
    const { deltaMicroNats: delta } = rule;
    const named = (metric: string) => `δ ${delta} on ${lastLook(rule)} windows: ${metric}`;
    const better = judgeAll(candidatesThatGain(2 * delta), [rule], DRAWS);
    show(report, { metric: named('gain of 2δ accepted'), value: better.accepted(0), goal: atLeast(0.95) });
    show(report, { metric: named('windows of it, of all'), value: better.windows(0) });
    const equal = judgeAll(candidatesAs(2 * delta, 0), [rule], DRAWS);
    show(report, { metric: named('no gain accepted'), value: equal.accepted(0), goal: atMost(0) });
    show(report, { metric: named('windows of it, of all'), value: equal.windows(0), goal: atMost(0.25) });
    const single = { ...rule, looks: [lastLook(rule)] };
    const just = judgeAll(candidatesAs(2 * delta, delta), [rule, single], DRAWS_OF_FALSE);
    const anchor = { name: 'one look at all windows', value: just.accepted(1) };
    const goal: Goal = { on: 'ratio', atMost: 1.1 };
    show(report, { metric: named('gain of δ accepted'), value: just.accepted(0), anchor, goal });
  }
}

/** Gates of trained models with longer validation sets; that of 128 windows is the development network's last. */
const TRAINED = [256, 512].map((windows) => gateRule({ gate: trainedGate(windows) }, 0));

/** The gate of the development network at each step of its decay. */
function developmentRules(): SequentialRule[] {
  const { decay, delta_micro_nats: first } = DEV_GATE;
  const found = new Map<number, SequentialRule>();
  for (let height = 0; decay && !found.has(Math.min(first, decay.floor_micro_nats)); height += decay.blocks) {
    const rule = gateRule({ gate: DEV_GATE }, height);
    found.set(rule.deltaMicroNats, rule);
  }
  return [...found.values()];
}

/** Several rules on the same draws, so that what they make of them can be compared. */
function judgeAll(candidates: readonly number[][], rules: readonly SequentialRule[], draws: number) {
  const all = Math.max(...rules.map(lastLook));
  const base = Array.from({ length: all }, () => LEVEL);
  const found = rules.map(() => ({ accepted: 0, windows: 0 }));
  for (const gains of candidates)
    for (let i = 0; i < draws; i++) {
      const candidate = draw(gains, all).map((gain) => LEVEL - gain);
      for (const [r, rule] of rules.entries()) {
        const decided = firstDecision(base, candidate, rule);
        const sum = found[r] as (typeof found)[number];
        if (decided?.stop === 'clear') sum.accepted += 1;
        sum.windows += decided?.windows ?? all;
      }
    }
  const runs = candidates.length * draws;
  return {
    accepted: (rule: number) => (found[rule]?.accepted ?? Number.NaN) / runs,
    windows: (rule: number) => (found[rule]?.windows ?? Number.NaN) / (runs * all),
  };
}

const atLeast = (value: number): Goal => ({ on: 'value', atLeast: value });
const atMost = (value: number): Goal => ({ on: 'value', atMost: value });
