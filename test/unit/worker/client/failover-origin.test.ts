import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { FailoverOrigin } from '#worker/client/failover-origin.ts';

async function* bytes(value: number) {
  yield Uint8Array.of(value);
}

function origin(value: number) {
  const asked: string[] = [];
  const state: { code: ErrorCode | undefined } = { code: undefined };
  const payload = async (hash: string) => {
    asked.push(hash);
    if (state.code) throw new PoolError(state.code, `${value}`);
    return bytes(value);
  };
  return { asked, state, payload };
}

it('asks the next where one is away, and that one first from then on', async () => {
  const [a, b] = [origin(1), origin(2)];
  const both = new FailoverOrigin([a, b]);
  await both.payload('x', {});
  a.state.code = 'UNAVAILABLE';
  for (const hash of ['y', 'z'])
    for await (const piece of await both.payload(hash, {})) assert.equal(piece[0], 2);
  assert.deepEqual(
    [a.asked, b.asked],
    [
      ['x', 'y'],
      ['y', 'z'],
    ],
  );
});

it('rejects with the last refusal where none has it, and at once with a fault of the question', async () => {
  const [a, b] = [origin(1), origin(2)];
  const both = new FailoverOrigin([a, b]);
  a.state.code = 'UNAVAILABLE';
  b.state.code = 'NOT_FOUND';
  await assert.rejects(both.payload('x', {}), { code: 'NOT_FOUND' });
  a.state.code = 'BAD_REQUEST';
  await assert.rejects(both.payload('y', {}), { code: 'BAD_REQUEST' });
  assert.deepEqual(b.asked, ['x']);
  await assert.rejects(new FailoverOrigin([]).payload('x', {}), { code: 'UNAVAILABLE' });
});
