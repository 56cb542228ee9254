import { seededUniform } from '#shared/weights/random.ts';
import { figure, type Goal, type Report } from '#test/bench/report.ts';
import {
  type Evaluated,
  EvaluationPool,
  type Lease,
  type Losses,
  StandIn,
  type Truth,
} from '#test/helpers/evaluation-pool.ts';

const SUBMISSIONS = 500;
/** Long enough that an honest worker answers on a busy machine. */
const LEASE_MS = 400;
const uniform = seededUniform(7);

interface Setting {
  readonly name: string;
  readonly liars: number;
  readonly honest: number;
  /** More than may lie together. */
  readonly attestations: number;
}

const SETTINGS: readonly Setting[] = [
  { name: '1 of 3', liars: 1, honest: 2, attestations: 2 },
  { name: '2 of 5', liars: 2, honest: 3, attestations: 3 },
];

/** The same lie of everyone who tells it: liars of one kind stand together. */
const LIES: Readonly<Record<string, () => StandIn>> = {
  constant: () =>
    new StandIn({
      lie: ({ base }) =>
        both(
          base,
          () => 5_000_000,
          () => 4_500_000,
        ),
    }),
  'off by ε': () =>
    new StandIn({
      lie: ({ base, candidate }) =>
        both(
          base,
          (_, i) => base[i] ?? 0,
          (_, i) => (candidate[i] ?? 0) - 8,
        ),
    }),
  'far off': () =>
    new StandIn({
      lie: ({ base, candidate }) =>
        both(
          base,
          (_, i) => base[i] ?? 0,
          (_, i) => (candidate[i] ?? 0) - 200_000,
        ),
    }),
  copied: () => new Copyist(),
  inverted: () =>
    new StandIn({
      lie: ({ base, candidate }) =>
        both(
          base,
          (_, i) => candidate[i] ?? 0,
          (_, i) => base[i] ?? 0,
        ),
    }),
  silent: () => new Silent(),
  'silent after committing': () => new Mute(),
  random: () =>
    new StandIn({
      lie: ({ base }) =>
        both(
          base,
          () => Math.floor(uniform() * 1e7),
          () => Math.floor(uniform() * 1e7),
        ),
    }),
};

const both = (windows: readonly number[], base: Side, candidate: Side): Losses => ({
  base: windows.map(base),
  candidate: windows.map(candidate),
});
type Side = (loss: number, i: number) => number;

/** Tells of each submission what it saw of the one before. */
class Copyist extends StandIn {
  #before: Losses | undefined;
  override result(lease: Lease): Evaluated {
    const mine = super.result(lease);
    const copied = this.#before;
    this.#before = mine as Losses;
    if (!copied) return mine;
    const length = Math.min(copied.base.length, mine.base.length);
    return this.signed(lease, {
      base: copied.base.slice(0, length),
      candidate: copied.candidate.slice(0, length),
    });
  }
}

class Silent extends StandIn {
  override evaluate(): void {}
}

class Mute extends StandIn {
  override reveal(): void {}
}

const NONE: Goal = { on: 'value', atMost: 0 };
const SOON: Goal = { on: 'value', atMost: 20 };

export async function liarsDrill(report: Report): Promise<void> {
  for (const setting of SETTINGS) {
    const sum = { submissions: 0, falseAcceptances: 0, falseRefusals: 0, punished: 0, tokens: 0, saved: 0 };
    const kinds = Object.entries(LIES);
    for (const [name, make] of kinds) {
      const seen = await meet(setting, make, Math.ceil(SUBMISSIONS / kinds.length));
      for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += seen[key];
      report(
        figure({
          name: 'pol',
          metric: `${setting.name} ${name}: most jobs of a liar`,
          value: seen.jobs,
          unit: '',
          goal: SOON,
        }),
      );
    }
    const show = (metric: string, value: number, goal?: Goal) =>
      report(
        figure({
          name: 'pol',
          metric: `${setting.name}: ${metric}`,
          value,
          unit: '',
          ...(goal ? { goal } : {}),
        }),
      );
    show('submissions', sum.submissions, { on: 'value', atLeast: SUBMISSIONS });
    show('false acceptances', sum.falseAcceptances, NONE);
    show('false refusals', sum.falseRefusals, NONE);
    show('honest workers punished', sum.punished, NONE);
    show('tokens saved of all', sum.saved / (sum.saved + sum.tokens));
  }
}

async function meet({ liars, honest, attestations }: Setting, make: () => StandIn, count: number) {
  const pool = await EvaluationPool.open(
    { attestations, trusted_after: 10 },
    { leaseMs: LEASE_MS, canaryOneIn: 8 },
  );
  const good = Array.from({ length: honest }, () => pool.attach(new StandIn()));
  const bad: StandIn[] = Array.from({ length: liars }, () => pool.attach(make()));
  const seen = {
    submissions: 0,
    falseAcceptances: 0,
    falseRefusals: 0,
    punished: 0,
    tokens: 0,
    saved: 0,
    jobs: 0,
  };
  for (let i = 0; i < count; i++) {
    // Whoever was put out comes again under another key, so that there is no job without liars.
    while (bad.filter(({ isOut }) => !isOut).length < liars) bad.push(pool.attach(make()));
    const isBetter = i % 3 === 0;
    const { state, cost } = await pool.judge(truthOf(isBetter));
    seen.submissions += 1;
    if (state === 'evaluated' && !isBetter) seen.falseAcceptances += 1;
    if (state !== 'evaluated' && isBetter) seen.falseRefusals += 1;
    seen.tokens += cost?.tokens ?? 0;
    seen.saved += (cost?.savedByLooks ?? 0) + (cost?.savedByTrust ?? 0);
  }
  const hurt = ({ key, isOut }: StandIn) => isOut || pool.reputations.of(key.publicKey).disagreements > 0;
  seen.punished = good.filter(hurt).length;
  seen.jobs = Math.max(...bad.map(({ jobs }) => jobs));
  await pool.close();
  return seen;
}

function truthOf(isBetter: boolean): Truth {
  const gain = isBetter ? 120_000 : -5_000;
  const offsets = new Map<number, { base: number; noise: number }>();
  return (window) => {
    const known = offsets.get(window) ?? {
      base: 4_600_000 + Math.round(600_000 * (uniform() - 0.5)),
      noise: Math.round(120_000 * (uniform() + uniform() - 1)),
    };
    offsets.set(window, known);
    return { base: known.base, candidate: known.base - gain + known.noise };
  };
}
