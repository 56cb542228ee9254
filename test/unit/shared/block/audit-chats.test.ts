import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChatAudit } from '#shared/block/audit-chats.ts';
import type { EntryKind, JournalEntry } from '#shared/block/journal.ts';
import { chatAccount } from '#shared/reward/keyless-account.ts';

const NETWORK = new Uint8Array(32).fill(3);
const CHATS = chatAccount(NETWORK);

const entry = (kind: EntryKind, from: string, to: string, amount: bigint, ref = 1): JournalEntry => ({
  ...{ v: 1, seq: 0, prev: new Uint8Array(32), at: 0 },
  ...{ kind, ref: new Uint8Array(32).fill(ref), from, to, amount },
});
const audit = (...entries: JournalEntry[]) => {
  const chats = new ChatAudit(NETWORK);
  for (const one of entries) chats.append(one);
};
const reserve = entry('chat-reserve', 'alice', CHATS, 10n);

test('a chat is settled from what was reserved for it', () => {
  audit(
    reserve,
    entry('transfer', 'alice', CHATS, 1n),
    entry('chat-settle', CHATS, 'bob', 4n),
    entry('royalty', CHATS, 'carol', 2n),
    entry('fee', CHATS, 'pool', 1n),
    entry('chat-refund', CHATS, 'alice', 3n),
  );
});

const REFUSED: [string, JournalEntry[]][] = [
  ['a reservation on another account', [entry('chat-reserve', 'alice', 'bob', 1n)]],
  ['a chat that is reserved twice', [reserve, reserve]],
  ['more than was reserved', [reserve, entry('chat-settle', CHATS, 'bob', 11n)]],
  ['what was reserved for another', [reserve, entry('chat-settle', CHATS, 'bob', 1n, 2)]],
  ['a transfer out of the chats’ account', [reserve, entry('transfer', CHATS, 'bob', 1n)]],
  ['a refund to somebody else', [reserve, entry('chat-refund', CHATS, 'bob', 1n)]],
  ['a fee from somebody else', [reserve, entry('fee', 'alice', 'pool', 1n)]],
];
for (const [what, entries] of REFUSED)
  test(`JOURNAL: ${what}`, () => {
    assert.throws(() => audit(...entries), { code: 'JOURNAL' });
  });
