import { DEV_GATE } from '#coordinator/chain/genesis/gates.ts';
import { holdsOut } from '#shared/pol/held-out.ts';
import { gateRule } from '#shared/pol/rule.ts';
import { firstDecision, type Loss, lastLook, type SequentialRule } from '#shared/pol/sequential.ts';
import { drawInOrder } from '#shared/pol/windows.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { figure, type Goal, type Report } from '#test/bench/report.ts';

/** The gate of the development network at its first block. */
const RULE: SequentialRule = gateRule({ gate: DEV_GATE }, 0);
/** Windows of the development network: public ones, held-out ones, and those that an epoch reveals. */
const PUBLIC = 265;
const HELD_OUT = 280;
const REVEALED = 16;
const CANDIDATES = 200;
const LEVEL = 4_600_000;
const LEVEL_SD = 350_000;
/**
 * Differences of losses between two states of the development model 10 to 300 training steps apart, losses 4.4 to
 * 4.8, had standard deviations of 47,000 to 105,000 micro-nats and a kurtosis of 2.8 to 9.9 (measured).
 */
const SD = 70_000;
/** Student's t with so many degrees of freedom has a kurtosis of 9. */
const DEGREES = 5;

const uniform = seededUniform(20_260_101);

function normal(): number {
  return Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Student's t, scaled to a standard deviation of 1. */
function heavy(): number {
  let chi2 = 0;
  for (let i = 0; i < DEGREES; i++) chi2 += normal() ** 2;
  return (normal() / Math.sqrt(chi2 / DEGREES)) * Math.sqrt((DEGREES - 2) / DEGREES);
}

/** Gains on windows whose mean is exactly `mean`: what a candidate really is. */
function gains(count: number, mean: number, sd: number): number[] {
  const raw = Array.from({ length: count }, () => sd * heavy());
  const middle = raw.reduce((sum, x) => sum + x, 0) / count;
  return raw.map((x) => Math.round(x - middle + mean));
}

interface Kind {
  readonly name: string;
  readonly isBetter: boolean;
  readonly isHopeless: boolean;
  /** Gains on the public windows, null where a loss is not finite; and on the held-out ones. */
  make(): { readonly open: (number | null)[]; readonly heldOut: number[] };
}

const { deltaMicroNats: DELTA } = RULE;
const alike = (mean: number, sd: number) => () => ({
  open: gains(PUBLIC, mean, sd),
  heldOut: gains(HELD_OUT, mean, sd),
});

const KINDS: readonly Kind[] = [
  { name: 'better by 2δ', isBetter: true, isHopeless: false, make: alike(2 * DELTA, SD) },
  { name: 'equal', isBetter: false, isHopeless: true, make: alike(0, SD) },
  { name: 'slightly worse', isBetter: false, isHopeless: true, make: alike(-DELTA / 8, SD) },
  { name: 'noise', isBetter: false, isHopeless: true, make: alike(-8 * DELTA, 3 * SD) },
  { name: 'copy', isBetter: false, isHopeless: true, make: alike(0, 0) },
  { name: 'copy and noise', isBetter: false, isHopeless: true, make: alike(-100, 900) },
  {
    name: 'NaN',
    isBetter: false,
    isHopeless: true,
    make: () => ({ open: gains(PUBLIC, 2 * DELTA, SD).map(() => null), heldOut: [] }),
  },
  // What the gate cannot see: windows that were learnt by heart.
  {
    name: 'tuned to the public shards',
    isBetter: false,
    isHopeless: false,
    make: () => ({ open: gains(PUBLIC, 2 * DELTA, SD), heldOut: gains(HELD_OUT, 0, SD) }),
  },
  // Half of the shards known beforehand, and the rest a little worse for it.
  {
    name: 'tuned to some public shards',
    isBetter: false,
    isHopeless: false,
    make: () => {
      const half = PUBLIC >> 1;
      const open = [...gains(half, 2 * DELTA, SD), ...gains(PUBLIC - half, -2 * DELTA, SD)];
      return { open, heldOut: gains(HELD_OUT, -2 * DELTA, SD) };
    },
  },
];

export function candidatesDrill(report: Report): void {
  for (const kind of KINDS) {
    const runs = Array.from({ length: CANDIDATES }, () => run(kind));
    const share = (holds: (r: (typeof runs)[number]) => boolean) => runs.filter(holds).length / runs.length;
    const windows = runs.reduce((sum, r) => sum + r.windows, 0) / (runs.length * lastLook(RULE));
    const show = (metric: string, value: number, goal?: Goal) =>
      report(
        figure({
          name: 'pol',
          metric: `${kind.name}: ${metric}`,
          value,
          unit: '',
          ...(goal ? { goal } : {}),
        }),
      );
    const isTuned = kind.name === 'tuned to the public shards';
    const never: Goal = { on: 'value', atMost: 0 };
    const often: Goal = { on: 'value', atLeast: 0.95 };
    show(
      'accepted',
      share(({ passed }) => passed),
      kind.isBetter ? often : isTuned ? undefined : never,
    );
    show('windows of 128', windows, kind.isHopeless ? { on: 'value', atMost: 0.25 } : undefined);
    if (kind.isBetter || isTuned)
      show(
        'paid after the held-out check',
        share(({ vests }) => vests),
        // Who neither gains nor loses anything on held-out text is the hardest to tell; real ones lose, see trained.ts.
        kind.isBetter ? often : undefined,
      );
  }
}

function run({ make }: Kind): { passed: boolean; windows: number; vests: boolean } {
  const { open, heldOut } = make();
  const seed = Uint8Array.from({ length: 32 }, () => Math.floor(uniform() * 256));
  const drawn = drawInOrder(seed, PUBLIC, lastLook(RULE));
  const level = () => Math.round(LEVEL + LEVEL_SD * normal());
  const base = drawn.map(level);
  const candidate: Loss[] = drawn.map((window, i) => {
    const gain = open[window] ?? null;
    return gain === null ? null : (base[i] as number) - gain;
  });
  const decided = firstDecision(base, candidate, RULE);
  const passed = decided?.stop === 'clear';
  const from = Math.floor(uniform() * Math.max(1, heldOut.length - REVEALED));
  const revealed = heldOut.slice(from, from + REVEALED);
  const heldBase = revealed.map(level);
  const heldCandidate = heldBase.map((loss, i) => loss - (revealed[i] as number));
  const vests = passed && heldOut.length > 0 && holdsOut(heldBase, heldCandidate, DELTA);
  return { passed, windows: decided?.windows ?? 0, vests };
}
