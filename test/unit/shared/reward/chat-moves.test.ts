import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CHAT_SPLIT_BP, type ChatBill, chatMoves } from '#shared/reward/chat-moves.ts';

const bill: ChatBill = {
  ref: new Uint8Array(32),
  ...{ account: 'asker', escrow: 'escrow', worker: 'worker', pool: 'pool' },
  ...{ reserved: 1_000n, fee: 100n, splitBp: CHAT_SPLIT_BP },
  royalties: new Map([
    ['b', 1n],
    ['a', 2n],
  ]),
};

test('the fee is split in its order, royalties by weight, and the rest goes back', () => {
  assert.deepEqual(
    chatMoves(bill).map(({ kind, to, amount }) => [kind, to, amount]),
    [
      ['chat-settle', 'worker', 60n],
      ['royalty', 'a', 20n],
      ['royalty', 'b', 10n],
      ['fee', 'pool', 10n],
      ['chat-refund', 'asker', 900n],
    ],
  );
});

test('weights that are nobody’s leave their part to the pool; what costs nothing goes back whole', () => {
  const nobody = chatMoves({ ...bill, royalties: new Map() });
  assert.deepEqual(nobody[1]?.amount, 40n);
  assert.deepEqual(
    chatMoves({ ...bill, fee: 0n }).map(({ kind, amount }) => [kind, amount]),
    [['chat-refund', 1_000n]],
  );
});

test('the moves sum to the reservation, to the last unit, and none is empty', () => {
  const shares = fc.array(fc.tuple(fc.string({ minLength: 1 }), fc.bigInt(0n, 2n ** 40n)), { maxLength: 20 });
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 60n), fc.bigInt(1n, 2n ** 60n), shares, (fee, more, list) => {
      const reserved = fee + more;
      const moves = chatMoves({ ...bill, fee, reserved, royalties: new Map(list) });
      assert.ok(moves.every(({ amount, from }) => amount > 0n && from === 'escrow'));
      assert.equal(
        moves.reduce((sum, { amount }) => sum + amount, 0n),
        reserved,
      );
    }),
  );
});
