import { LivePool } from '#test/bench/pol/live-pool.ts';
import { figure, type Goal, type Measurement, type Report } from '#test/bench/report.ts';

const MS = 9 * 60_000;
const BACKEND = ['--backend', 'wasm'];

/**
 * What Proof-of-Learning costs a pool whose miner asks for the price, as `aiblock miner` does: all tokens that workers
 * put through the model, for whatever purpose, against those that it trained on. On two cores that nothing else uses it
 * sends one submission every few minutes.
 */
export async function benchCost(report: Report): Promise<void> {
  const pool = await LivePool.start([...BACKEND, '--no-miner']);
  try {
    pool.mine('miner', BACKEND);
    await pool.run(MS);
    await showCost(pool, report, { name: 'pol cost', goal: { on: 'ratio', atMost: 0.01 } });
  } finally {
    await pool.stop();
  }
}

/** The same of the pool that `npm start` runs, whose miner is not to keep anybody waiting. */
export async function benchStart(report: Report): Promise<void> {
  const row = (measured: Omit<Measurement, 'name'>) => report(figure({ name: 'pol start', ...measured }));
  const pool = await LivePool.start(BACKEND);
  try {
    await pool.run(MS);
    const { accepted, firstAcceptedMs = Number.NaN, sampledNats = Number.NaN } = pool.account();
    const { losses, quorum } = await pool.overview();
    const [genesis, now] = [losses[0]?.loss_nats ?? Number.NaN, losses.at(-1)?.loss_nats ?? Number.NaN];
    row({ metric: 'workers that must agree', value: quorum, unit: '' });
    row({ metric: 'accepted in 9 minutes', value: accepted, unit: '', goal: { on: 'value', atLeast: 5 } });
    row({ metric: 'first accepted after', value: firstAcceptedMs / 1_000, unit: 's' });
    row({ metric: 'loss gained', value: genesis - now, unit: 'nats', goal: { on: 'value', atLeast: 1.5 } });
    row({
      metric: 'loss by certified gains, above the miner’s own sample',
      value: now - sampledNats,
      unit: 'nats',
    });
    await showCost(pool, report, { name: 'pol start' });
  } finally {
    await pool.stop();
  }
}

async function showCost(
  pool: LivePool,
  report: Report,
  { name, goal }: { name: string; goal?: Goal },
): Promise<void> {
  const { accepted, rejected, trainedTokens } = pool.account();
  const tokens = await pool.evaluationTokens();
  const spent = [...tokens.values()].reduce((sum, each) => sum + each, 0);
  report(figure({ name, metric: 'submissions accepted', value: accepted, unit: '' }));
  report(figure({ name, metric: 'submissions rejected', value: rejected, unit: '' }));
  for (const [purpose, each] of tokens) {
    const metric = `evaluation per accepted submission: ${purpose}`;
    report(figure({ name, metric, value: each / accepted, unit: 'tokens' }));
  }
  const anchor = { name: 'tokens trained on for it', value: trainedTokens / accepted };
  const metric = 'evaluation per accepted submission';
  report(
    figure({ name, metric, value: spent / accepted, unit: 'tokens', anchor, ...(goal ? { goal } : {}) }),
  );
}
