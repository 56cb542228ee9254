import { LivePool } from '#test/bench/pol/live-pool.ts';
import { figure, type Measurement, type Report } from '#test/bench/report.ts';

/** Long enough for the first hurry to be over, in which the model learns most and each submission is small. */
const MS = 9 * 60_000;
const BACKEND = ['--backend', 'wasm'];

/**
 * What Proof-of-Learning costs a real pool, as `npm start` runs it: all tokens that workers put through the model, for
 * whatever purpose, for each accepted submission, against the tokens that the miner trained on for it.
 */
export async function benchCost(report: Report): Promise<void> {
  const row = (measured: Omit<Measurement, 'name'>) => report(figure({ name: 'pol cost', ...measured }));
  const pool = await LivePool.start(BACKEND);
  try {
    await pool.run(MS);
    const {
      accepted,
      rejected,
      trainedTokens,
      firstAcceptedMs = Number.NaN,
      sampledNats = Number.NaN,
    } = pool.account();
    const tokens = await pool.evaluationTokens();
    const spent = [...tokens.values()].reduce((sum, each) => sum + each, 0);
    const { losses, quorum } = await pool.overview();
    const [genesis, now] = [losses[0]?.loss_nats ?? Number.NaN, losses.at(-1)?.loss_nats ?? Number.NaN];
    row({ metric: 'workers that must agree', value: quorum, unit: '' });
    row({ metric: 'accepted in 9 minutes', value: accepted, unit: '', goal: { on: 'value', atLeast: 5 } });
    row({ metric: 'rejected', value: rejected, unit: '' });
    row({ metric: 'first accepted after', value: firstAcceptedMs / 1_000, unit: 's' });
    row({ metric: 'loss gained', value: genesis - now, unit: 'nats', goal: { on: 'value', atLeast: 1.5 } });
    row({
      metric: 'loss by certified gains, above the miner’s own sample',
      value: now - sampledNats,
      unit: 'nats',
    });
    for (const [purpose, each] of tokens)
      row({
        metric: `evaluation per accepted submission: ${purpose}`,
        value: each / accepted,
        unit: 'tokens',
      });
    row({
      metric: 'evaluation per accepted submission',
      value: spent / accepted,
      unit: 'tokens',
      anchor: { name: 'tokens trained on for it', value: trainedTokens / accepted },
      goal: { on: 'ratio', atMost: 0.01 },
    });
  } finally {
    await pool.stop();
  }
}
