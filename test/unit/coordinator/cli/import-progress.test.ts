import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ImportBar, size } from '#coordinator/cli/import-progress.ts';

function bar(terminal: boolean) {
  const written: string[] = [];
  let now = 0;
  const progress = new ImportBar({ terminal, now: () => now, err: (text) => written.push(text) });
  const wait = (ms: number) => {
    now += ms;
  };
  return { progress, written, wait };
}

describe('the progress of an import', () => {
  it('is a line on a terminal, written over and wiped at the end', () => {
    const { progress, written, wait } = bar(true);
    progress.begin('Storing', 2_000_000);
    wait(1_000);
    progress.add(500_000);
    progress.add(1);
    progress.end();
    assert.equal(written.length, 3);
    assert.match(written[1] ?? '', /^\r.*Storing █{7}░{21} 500\.0 kB of 2\.0 MB, 500\.0 kB\/s, 3 s left$/);
    assert.equal(written[2], '\r\u001b[K');
  });

  it('is a line now and then elsewhere', () => {
    const { progress, written, wait } = bar(false);
    progress.begin('Storing', 4_000);
    for (let i = 0; i < 4; i++) {
      wait(6_000);
      progress.add(1_000);
    }
    progress.note('done');
    progress.end();
    assert.deepEqual(written, [
      'Storing: 4.0 kB\n',
      'Storing: 50 %, 2.0 kB of 4.0 kB, 167 bytes/s, 12 s left\n',
      'Storing: 100 %, 4.0 kB of 4.0 kB, 167 bytes/s, 0 s left\n',
      'done\n',
    ]);
  });

  it('writes sizes as people read them', () => {
    assert.deepEqual([0, 999, 1_000, 1_250_000, 5e9, 7e15].map(size), [
      ...['0 bytes', '999 bytes', '1.0 kB', '1.3 MB', '5.0 GB', '7000.0 TB'],
    ]);
  });
});
