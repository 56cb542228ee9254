import assert from 'node:assert/strict';
import { it } from 'node:test';
import { minerReporter } from '#worker/cli/miner-report.ts';
import type { MinerEvent } from '#worker/train/miner-events.ts';

const step = (n: number): MinerEvent => {
  return { type: 'step', step: n, loss: 5.4321, tokens: 1000, tokensPerSecond: 3456.7, learningRate: 1e-3 };
};
const events: MinerEvent[] = [
  step(1),
  step(2),
  { type: 'sent', submission: 'ab'.repeat(32), bytes: 1000 },
  {
    type: 'accepted',
    submission: 'ab'.repeat(32),
    lossBeforeNats: 6.9,
    lossAfterNats: 6.5,
    reward: '3000000000',
    evaluationTokens: 30,
    trainedTokens: 2000,
  },
  { type: 'balance', units: '3000000000' },
];

function shown(options: { terminal: boolean; json: boolean }): string {
  let text = '';
  let now = 0;
  const out = (piece: string) => {
    text += piece;
  };
  const reporter = minerReporter({ out, terminal: options.terminal, now: () => now }, options.json);
  for (const event of events) reporter.report(event);
  now = 60_000;
  reporter.report(step(3));
  reporter.end();
  return text;
}

it('shows plain lines where there is no terminal, and the status now and then', () => {
  assert.deepEqual(shown({ terminal: false, json: false }).split('\n'), [
    'step 1  loss 5.432  3457 tokens/s  sent 0  accepted 0  judged with 0.00 % of the tokens trained  balance 0',
    'submitted abababababab, 1000 bytes',
    'accepted abababababab: loss 6.9000 -> 6.5000, reward 30, judged with 30 tokens for 2000 trained',
    'step 3  loss 5.432  3457 tokens/s  sent 1  accepted 1  judged with 1.00 % of the tokens trained  balance 30',
    '',
  ]);
});

it('writes over the status line at a terminal', () => {
  const text = shown({ terminal: true, json: false });
  assert.ok(text.startsWith('\r\u001b[Kstep 1'));
  assert.ok(text.endsWith('balance 30\n'));
});

it('prints one JSON object per line', () => {
  const lines = shown({ terminal: false, json: true }).trim().split('\n');
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as MinerEvent).type),
    ['step', 'sent', 'accepted', 'balance', 'step'],
  );
});
