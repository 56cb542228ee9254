import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { figure } from '#test/bench/report.ts';
import { renderTable, showNumber } from '#test/bench/table.ts';

const base = { name: 'x', metric: 'rate', unit: 'M/s' } as const;
const met = figure({
  ...base,
  value: 12,
  anchor: { name: 'plain', value: 2 },
  goal: { on: 'ratio', atLeast: 5 },
});
const missed = figure({
  ...base,
  metric: 'latency',
  unit: 'ms',
  value: 70.5,
  goal: { on: 'value', atMost: 50 },
});
const shown = figure({ ...base, metric: 'size', unit: 'bytes', value: 1_234_567.8 });

describe('figure', () => {
  it('computes the ratio and judges the goal', () => {
    assert.deepEqual(met, {
      ...base,
      value: 12,
      anchor: 'plain',
      anchorValue: 2,
      ratio: 6,
      goal: 'ratio >= 5',
      ok: true,
    });
    assert.deepEqual([missed.ok, missed.goal, missed.ratio], [false, 'value <= 50', null]);
    assert.deepEqual([shown.ok, shown.goal], [true, null]);
  });

  it('includes the bounds themselves', () => {
    const goal = { on: 'value', atLeast: 2, atMost: 3 } as const;
    const verdicts = [1.999, 2, 3, 3.001].map((value) => figure({ ...base, value, goal }).ok);
    assert.deepEqual(verdicts, [false, true, true, false]);
  });

  it('misses every goal with a value that is not finite, or without the anchor it needs', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.equal(figure({ ...base, value }).ok, false);
      assert.equal(figure({ ...base, value, goal: { on: 'value', atLeast: 0 } }).ok, false);
    }
    assert.equal(figure({ ...base, value: 1, goal: { on: 'ratio', atLeast: 0 } }).ok, false);
    const anchor = { name: 'stopped', value: 0 };
    assert.equal(figure({ ...base, value: 1, anchor, goal: { on: 'ratio', atLeast: 1 } }).ok, false);
  });
});

describe('renderTable', () => {
  it('aligns the columns and names what was missed', () => {
    assert.equal(
      renderTable([met, missed, shown], { colour: false }),
      [
        'metric   value            anchor        ratio  goal',
        '-------  ---------------  ------------  -----  -----------  ------',
        'rate     12 M/s           plain: 2 M/s  6x     ratio >= 5   ok',
        'latency  70.5 ms                               value <= 50  MISSED',
        'size     1,234,568 bytes',
        '',
      ].join('\n'),
    );
  });

  it('colours only where it may', () => {
    const plain = renderTable([met, missed, shown], { colour: false });
    const coloured = renderTable([met, missed, shown], { colour: true });
    assert.ok(!plain.includes('\u001b'));
    const [green, red, end] = ['\u001b[32m', '\u001b[31m', '\u001b[0m'];
    assert.deepEqual([coloured.split(green).length - 1, coloured.split(red).length - 1], [1, 1]);
    assert.equal(
      [green, red, end].reduce((text, code) => text.replaceAll(code, ''), coloured),
      plain,
    );
  });
});

describe('showNumber', () => {
  it('keeps four digits that matter', () => {
    const given = [0, 0.000123456, 1.23456, 999.96, 1000, 123_456_789.1, -2500.4, Number.NaN];
    assert.deepEqual(given.map(showNumber), [
      '0',
      '0.0001235',
      '1.235',
      '1000',
      '1,000',
      '123,456,789',
      '-2,500',
      'NaN',
    ]);
  });
});
