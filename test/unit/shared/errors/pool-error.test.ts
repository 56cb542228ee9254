import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRORS } from '#shared/errors/catalogue.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

test('an error survives the way between processes', () => {
  const error = new PoolError('GATE_NOT_BETTER', 'no', { gain: 1, why: 'x', ok: false, none: null });
  const copy = PoolError.fromObject(JSON.parse(JSON.stringify(error.toObject())));
  assert.deepEqual(copy.toObject(), error.toObject());
  assert.equal(copy.status, 422);
});

test('what is no error of ours becomes INTERNAL', () => {
  for (const value of [
    undefined,
    null,
    'x',
    7,
    [],
    {},
    { code: 'toString' },
    { code: '__proto__' },
    { code: 1 },
  ])
    assert.equal(PoolError.fromObject(value).code, 'INTERNAL');
  assert.equal(PoolError.from(new Error('secret')).message, 'internal error');
});

test('only flat and short details are taken over', () => {
  let deep: unknown = 0;
  for (let i = 0; i < 50_000; i++) deep = [deep];
  const { details, message } = PoolError.fromObject({
    code: 'MESSAGE',
    message: 'm'.repeat(5000),
    details: {
      deep,
      list: [1],
      object: {},
      text: 't'.repeat(5000),
      number: 1,
      flag: true,
      none: null,
      nan: Number.NaN,
    },
  });
  assert.deepEqual(Object.keys(details).sort(), ['flag', 'none', 'number', 'text']);
  assert.ok((details.text as string).length <= 1000 && message.length <= 1000);
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`k${i}`, i]));
  assert.ok(Object.keys(PoolError.fromObject({ code: 'MESSAGE', details: many }).details).length <= 32);
  assert.deepEqual(PoolError.fromObject({ code: 'MESSAGE', details: [1, 2] }).details, {});
});

test('must throws the code; its message is made only then', () => {
  must(true, 'STATE', () => assert.fail('made for nothing'));
  assert.throws(() => must(false, 'STATE', () => 'why', { a: 1 }), {
    code: 'STATE',
    message: 'why',
    details: { a: 1 },
  });
});

test('every code has a status of HTTP and a sentence', () => {
  for (const [code, [status, meaning]] of Object.entries(ERRORS)) {
    assert.match(code, /^[A-Z][A-Z_]*$/);
    assert.ok(status >= 400 && status < 600, code);
    assert.match(meaning, /\.$/, code);
  }
});
