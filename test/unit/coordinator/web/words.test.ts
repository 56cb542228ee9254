import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fingerprintCells } from '#coordinator/web/app/text/fingerprint.ts';
import {
  isInWork,
  meaningOf,
  STATE_MEANINGS,
  STATE_TONES,
  STATES_IN_WORK,
  toneOf,
} from '#coordinator/web/app/text/state-words.ts';
import { vestingWords } from '#coordinator/web/app/text/vesting-words.ts';
import { LIFECYCLE, SUBMISSION_STATES } from '#shared/lifecycle.ts';
import { epochView, hash } from './views.ts';

test('every state of the lifecycle has a tone and a meaning', () => {
  assert.deepEqual(Object.keys(STATE_TONES), SUBMISSION_STATES);
  assert.deepEqual(Object.keys(STATE_MEANINGS), SUBMISSION_STATES);
});

test('the states in work are those from which a submission can still be rejected', () => {
  const open = SUBMISSION_STATES.filter((state) =>
    (LIFECYCLE[state] as readonly string[]).includes('rejected'),
  );
  assert.deepEqual([...STATES_IN_WORK], open);
  assert.equal(isInWork('rejected'), false);
  assert.equal(isInWork('mining'), true);
});

test('a state this page does not know is shown as waiting, and no name of Object.prototype is one', () => {
  assert.equal(toneOf('vesting'), 'waiting');
  assert.equal(toneOf('constructor'), 'waiting');
  assert.equal(meaningOf('toString'), '');
});

test('the fingerprint is the 64 digits of a hash, row by row', () => {
  const cells = fingerprintCells(`0f${'0'.repeat(61)}f`);
  assert.equal(cells.length, 64);
  assert.deepEqual(
    cells.filter(({ weight }) => weight === 1).map(({ row, column }) => [row, column]),
    [
      [0, 1],
      [7, 7],
    ],
  );
});

test('what is not a 32-byte hash has no fingerprint', () => {
  for (const text of ['', 'ff', `${'0'.repeat(63)}g`, 'F'.repeat(64)])
    assert.deepEqual(fingerprintCells(text), []);
});

test('how a submission stands in its epoch is said in words', () => {
  const submissions = (held: boolean | null) => [{ submission: hash('a'), height: 9, held }];
  const words = (change: Parameters<typeof epochView>[0]) => vestingWords([epochView(change)], hash('a'));
  assert.match(words({}) ?? '', /vests until 2 are accepted \(1 so far\)/);
  assert.match(words({ state: 'revealed' }) ?? '', /being checked/);
  assert.match(words({ state: 'revealed', submissions: submissions(true) }) ?? '', /released/);
  assert.match(words({ state: 'settled', submissions: submissions(false) }) ?? '', /forfeited/);
  assert.equal(vestingWords([epochView()], hash('b')), undefined);
});
