import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Conduct } from '#coordinator/ws/conduct.ts';

const count = (times: number, act: () => boolean): number => {
  let fine = 0;
  for (let i = 0; i < times; i++) if (act()) fine += 1;
  return fine;
};

it('takes a burst of messages, then so many a second', () => {
  const conduct = new Conduct(0);
  assert.equal(
    count(1_000, () => conduct.speaks(0)),
    400,
  );
  const other = new Conduct(0);
  for (let second = 1; second <= 60; second++)
    assert.equal(
      count(200, () => other.speaks(second * 1_000)),
      200,
    );
});

it('does not earn more than a burst in a long silence', () => {
  const conduct = new Conduct(0);
  assert.equal(
    count(1_000, () => conduct.speaks(86_400_000)),
    400,
  );
});

it('shuts out after twenty refusals, three lies, or very many late answers', () => {
  const failures = (code: string) => {
    const conduct = new Conduct(0);
    return count(1_000, () => conduct.fails(code, 0));
  };
  assert.equal(failures('MESSAGE'), 19);
  assert.equal(failures('LEASE_UNKNOWN'), 19);
  assert.equal(failures('ATTESTATION'), 2);
  assert.equal(failures('WORK_LOW'), 2);
  assert.equal(failures('WORK_STALE'), 79);
});

it('forgives one refusal in ten seconds', () => {
  const conduct = new Conduct(0);
  for (let i = 0; i < 1_000; i++) assert.ok(conduct.fails('MESSAGE', i * 10_000));
  assert.equal(
    count(100, () => conduct.fails('MESSAGE', 10_000_000)),
    19,
  );
});
