import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Tally } from '#worker/status/tally.ts';

it('counts what is sent and received, and as credited only what pays', () => {
  const tally = new Tally(() => 1);
  const receipt = { unit: '00', path: [], signature: '00'.repeat(64) };
  const credited = { type: 'credited', lease: 'a', nonce: '1' } as const;
  tally.message({ ...credited, receipt });
  tally.message({ ...credited, receipt: null });
  assert.equal(tally.received('credited'), 1);
  const send = tally.counting(({ type }) => type !== 'drain');
  send({ type: 'drain' });
  send({ type: 'goodbye' });
  assert.deepEqual([tally.sent('drain'), tally.sent('goodbye')], [0, 1]);
});
