import assert from 'node:assert/strict';
import type { TransferReceipt } from '#coordinator/ledger/transfers.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { type Transfer, transferMove } from '#shared/protocol/transfer.ts';
import type { Oracle } from '#test/drill/money/oracle.ts';
import { CHAT_TOKEN_UNITS } from '#test/helpers/money-pool.ts';

export type TransferKind = 'right' | 'repeat' | 'used' | 'ahead' | 'too much' | 'forged' | 'expired';

/** A transfer as a command wants it: of whom, to whom, how much, and what is wrong with it. */
export interface Wish {
  readonly kind: TransferKind;
  readonly from: number;
  readonly to: number;
  readonly amount: bigint;
}

/** A chat: who pays, for how many tokens at most, and how many are delivered. */
export interface Question {
  readonly account: number;
  readonly wanted: number;
  readonly delivered: number;
}

/** A transfer on its way, and the answer to come. */
export interface Sent {
  readonly wish: Wish;
  readonly transfer: Transfer;
  readonly digest: string;
  readonly answer: Promise<TransferReceipt>;
}

/** Only what may be made is made, as it was signed, and the answer names its entry. */
export function assertMade(
  oracle: Oracle,
  { wish, transfer, digest }: Sent,
  { entry, isNew }: TransferReceipt,
): void {
  assert.ok(['right', 'repeat'].includes(wish.kind), `a transfer that is "${wish.kind}" was made`);
  assert.equal(oracle.transfers.get(digest), entry.seq, 'the answer names another entry');
  const { kind, ref, from, to, amount } = entry;
  assert.deepEqual({ kind, ref, from, to, amount }, transferMove(ref, transfer));
  if (wish.kind === 'right') assert.ok(isNew, 'a new transfer was there before');
}

/** `least`: what each account had at the least while it was asked for; `twinMade`: the same, asked again, was made. */
export function assertRefused(
  oracle: Oracle,
  { wish, transfer, digest }: Sent,
  refusal: {
    readonly error: unknown;
    readonly least: ReadonlyMap<string, bigint>;
    readonly twinMade: boolean;
  },
): void {
  const { error, least, twinMade } = refusal;
  assert.ok(error instanceof PoolError, String(error));
  const { code } = error;
  assert.ok(twinMade || !oracle.transfers.has(digest), 'a transfer was refused and made');
  const allowed: Record<TransferKind, readonly string[]> = {
    right: ['FUNDS', 'TRANSFER_NONCE'],
    repeat: ['FUNDS', 'TRANSFER_NONCE'],
    used: ['TRANSFER_NONCE'],
    ahead: ['TRANSFER_NONCE'],
    'too much': ['FUNDS', 'TRANSFER_NONCE'],
    forged: ['SIGNATURE'],
    expired: ['TRANSFER_EXPIRED'],
  };
  assert.ok(allowed[wish.kind].includes(code), `"${wish.kind}" was refused with ${code}`);
  if (code === 'FUNDS' && wish.kind === 'right') {
    const balance = least.get(transfer.from) ?? 0n;
    assert.ok(transfer.amount > balance, `refused ${transfer.amount} of ${balance}`);
  }
}

/** A chat is refused for want of money, and then there was none. */
export function assertUnpaid(error: unknown, balance: bigint): void {
  assert.ok(error instanceof PoolError && error.code === 'FUNDS', String(error));
  assert.ok(balance < CHAT_TOKEN_UNITS, `a chat is refused with ${balance} on its account`);
}
