import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createLog } from '#worker/log.ts';

function linesOf(json: boolean): [string, boolean][] {
  const lines: [string, boolean][] = [];
  const log = createLog({ level: 'info', json, now: () => 3_600_000 }, (...line) => lines.push(line));
  log.debug('unseen');
  log.info('evaluated', { windows: 64, name: 'a\u001b[31mb', none: undefined });
  log.warn('look');
  return lines;
}

it('writes lines for people, without control characters', () => {
  assert.deepEqual(linesOf(false), [
    ['01:00:00 evaluated windows=64 name=a [31mb', false],
    ['01:00:00 warn: look', true],
  ]);
});

it('writes JSON lines', () => {
  const [[line, serious]] = linesOf(true) as [[string, boolean]];
  assert.deepEqual(JSON.parse(line), {
    time: '1970-01-01T01:00:00.000Z',
    level: 'info',
    message: 'evaluated',
    windows: 64,
    name: 'a\u001b[31mb',
  });
  assert.equal(serious, false);
});
