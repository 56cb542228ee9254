import assert from 'node:assert/strict';
import { it } from 'node:test';
import { chooseTensors } from '#worker/train/choose-tensors.ts';

const NAMES = [
  'lm_head.weight',
  'model.layers.1.mlp.weight',
  'model.layers.11.mlp.weight',
  'model.norm.weight',
];

it('takes the names that fit one of the patterns, in their order', () => {
  assert.deepEqual(chooseTensors(NAMES, []), NAMES);
  assert.deepEqual(chooseTensors(NAMES, ['model.layers.1.*']), [NAMES[1]]);
  assert.deepEqual(chooseTensors(NAMES, ['model.norm.weight', 'lm_*']), [NAMES[0], NAMES[3]]);
  assert.deepEqual(chooseTensors(NAMES, ['*']), NAMES);
});

it('takes characters other than * for what they are', () => {
  for (const pattern of [
    'model.norm+weight',
    'model.norm.weigh',
    '.odel.norm.weight',
    '(lm_head.weight)',
    '',
  ])
    assert.throws(() => chooseTensors(NAMES, [pattern]), { code: 'OPTION' }, pattern);
});

it('OPTION: a pattern that fits none, with the nearest names', () => {
  assert.throws(() => chooseTensors(NAMES, ['*', 'model.nrom.weight']), {
    code: 'OPTION',
    message: /^--only model\.nrom\.weight: .*near it are model\.norm\.weight/,
  });
});
