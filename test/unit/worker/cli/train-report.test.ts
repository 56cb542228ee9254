import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { duration, trainReporter } from '#worker/cli/train-report.ts';
import type { TrainEvent } from '#worker/train/train-model.ts';

const READY: TrainEvent = {
  type: 'ready',
  model: 'whale',
  root: 'ab'.repeat(32),
  text: 'a text',
  trainingTokens: 1000,
  tensors: 16,
  trained: 2,
  step: 3,
  steps: 10,
};
const step = (n: number): TrainEvent => ({
  type: 'step',
  step: n,
  loss: 2.71949,
  tokensPerSecond: 1234.5,
  etaSeconds: 75,
  learningRate: 1e-3,
  gradientNorm: 1,
});
const WRITTEN: TrainEvent = { type: 'written', dir: '/out', files: [{ name: 'config.json', bytes: 1 }] };

function shown(
  events: readonly TrainEvent[],
  { terminal = false, json = false },
): { out: string; err: string } {
  const texts = { out: '', err: '' };
  let nowMs = 0;
  const output = {
    terminal,
    now: () => (nowMs += 200),
    out: (text: string) => {
      texts.out += text;
    },
    err: (text: string) => {
      texts.err += text;
    },
  };
  const reporter = trainReporter(output, json);
  for (const event of events) reporter.report(event);
  reporter.end();
  return texts;
}

describe('trainReporter', () => {
  it('draws a bar with loss, speed and time left at a terminal', () => {
    const { out, err } = shown([READY, step(4), step(5), WRITTEN], { terminal: true });
    assert.match(out, /^training 2 of 16 tensors of whale on 1000 tokens \(a text\)\n/);
    assert.match(out, /going on from the checkpoint of step 3\n/);
    assert.match(err, /training █+░+ 5\/10 {2}loss 2\.719 {2}1235 tokens\/s {2}1 min 15 s left/);
    assert.match(out, /The model is in \/out: config\.json\n$/);
  });

  it('writes a line now and then, and of the last step, elsewhere', () => {
    const { out, err } = shown([READY, step(4), step(5), step(10), WRITTEN], {});
    assert.deepEqual(out.match(/^step \d+\/10/gm), ['step 4/10', 'step 10/10']);
    assert.equal(err, '');
  });

  it('writes events as JSON lines', () => {
    const { out } = shown([READY, step(4), WRITTEN], { json: true });
    const events = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      events.map(({ type }) => type),
      ['ready', 'step', 'written'],
    );
    assert.equal(events[1].loss, 2.71949);
  });
});

it('duration: as people say it', () => {
  assert.deepEqual([0, 11.2, 200, 7500].map(duration), ['0 s', '12 s', '3 min 20 s', '2 h 05 min']);
});
