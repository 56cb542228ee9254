import { LivePool } from '#test/bench/pol/live-pool.ts';
import { figure, type Measurement, type Report } from '#test/bench/report.ts';

const MS = 3 * 60_000;
const MODES = { merging: [], 'starting again': ['--no-merge'] } as const;
/** Texts in another order: two miners that see the same would learn the same. */
const SEEDS = ['1', '2'];
/** As the demo miner's: else nothing but large steps would be seen in so short a time. */
const USUAL = ['--backend', 'wasm', '--patience', '60'];

/** Two miners in one pool, that add what they trained to each other's heads, or start again from them. */
export async function benchMiners(report: Report): Promise<void> {
  for (const [mode, flags] of Object.entries(MODES)) {
    const row = (metric: string, measured: Omit<Measurement, 'name' | 'metric'>) =>
      report(figure({ name: 'pol miners', metric: `two miners ${mode}: ${metric}`, ...measured }));
    const pool = await LivePool.start(['--backend', 'wasm', '--no-miner']);
    try {
      for (const seed of SEEDS) pool.mine(`miner-${seed}`, [...USUAL, '--seed', seed, ...flags]);
      await pool.run(MS);
      const { accepted, merged, restarted, trainedTokens } = pool.account();
      const { losses } = await pool.overview();
      row('accepted in 3 minutes', { value: accepted, unit: '' });
      row('loss in the end', { value: losses.at(-1)?.loss_nats ?? Number.NaN, unit: 'nats' });
      row('heads that training was added to', { value: merged, unit: '' });
      row('heads from which training began again', { value: restarted, unit: '' });
      row('tokens trained on', { value: trainedTokens, unit: '' });
    } finally {
      await pool.stop();
    }
  }
}
