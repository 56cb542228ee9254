import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from '#worker/train/miner-pace.ts';

/** Trains `seconds` at 1,000 tokens a second. */
function train(pace: Pace, seconds: number): void {
  for (let i = 0; i < seconds; i++) pace.trained({ ms: 1_000, tokens: 1_000 });
}

test('looks come at their interval, which grows with failures, or as soon as there is reason', () => {
  const pace = new Pace({ firstLookMs: 10_000 });
  train(pace, 9);
  assert.equal(pace.due, false);
  train(pace, 1);
  assert.equal(pace.due, true);
  pace.looked();
  pace.failed();
  train(pace, 11);
  assert.equal(pace.due, false);
  pace.lookSoon();
  assert.equal(pace.due, true);
});

test('a submission is sent when it is worth its price, and looked at again when it should be', () => {
  const pace = new Pace({ firstLookMs: 10_000, priceShare: 0.01 });
  train(pace, 10);
  pace.looked();
  assert.equal(pace.affords(120), false);
  train(pace, 1);
  assert.equal(pace.due, false);
  train(pace, 1);
  assert.equal(pace.due, true, '2,000 tokens were missing');
  assert.equal(pace.trainedTokens, 12_000);
  assert.equal(pace.affords(120), true);
  pace.accepted();
  assert.equal(pace.trainedTokens, 0);
});

test('patience ends, and is longer after each accepted submission', () => {
  const pace = new Pace({ patienceMs: 60_000 });
  const patience = () => {
    let seconds = 0;
    while (!pace.affords(1e12)) {
      train(pace, 1);
      seconds += 1;
    }
    pace.accepted();
    return seconds;
  };
  const [first, second, third] = [patience(), patience(), patience()];
  assert.ok(first < second && second < third, `${first} ${second} ${third}`);
  const inAQuarter = [first, second, third];
  while (inAQuarter.length < 9) inAQuarter.push(patience());
  const sum = inAQuarter.reduce((a, b) => a + b, 0);
  assert.ok(sum < 850, `nine submissions, whatever they cost, in ${sum} s of training`);
});
