import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseRange } from '#coordinator/http/range.ts';

const SIZE = 100;
const range = (header: string | undefined, size = SIZE) => {
  const { start, end, partial } = parseRange(header, size);
  return [start, end, partial];
};

it('reads one range: from, from–to, the last bytes', () => {
  assert.deepEqual(range('bytes=10-19'), [10, 20, true]);
  assert.deepEqual(range('bytes=10-'), [10, 100, true]);
  assert.deepEqual(range('bytes=-10'), [90, 100, true]);
  assert.deepEqual(range('bytes=-1000'), [0, 100, true]);
  assert.deepEqual(range('bytes=90-1000'), [90, 100, true]);
});

it('answers with the whole what is no single range', () => {
  for (const header of [undefined, '', 'bytes=-', 'bytes=0-1,5-6', 'lines=0-1', 'bytes=a-b', 'bytes=1e1-20'])
    assert.deepEqual(range(header), [0, 100, false]);
});

it('refuses what lies outside', () => {
  for (const header of ['bytes=100-', 'bytes=20-10', 'bytes=-0', 'bytes=999999999999999-'])
    assert.throws(() => range(header), { code: 'RANGE_NOT_SATISFIABLE' });
  assert.throws(() => range('bytes=0-', 0), { code: 'RANGE_NOT_SATISFIABLE' });
});
