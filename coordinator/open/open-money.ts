import type { Chain } from '#coordinator/chain/chain.ts';
import { PaidChat } from '#coordinator/chat/paid-chat.ts';
import { Adjustments } from '#coordinator/ledger/adjustments.ts';
import { ChatFees } from '#coordinator/ledger/chat-fees.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import { LEDGER_CHECK_DEFAULTS, LedgerCheck } from '#coordinator/ledger/ledger-check.ts';
import { TRANSFER_DEFAULTS, Transfers } from '#coordinator/ledger/transfers.ts';
import type { Log } from '#coordinator/log.ts';
import type { Closers } from '#coordinator/open/closers.ts';
import type { KV } from '#coordinator/store/kv.ts';
import type { WriteLock } from '#coordinator/store/write-lock.ts';

interface MoneyContext {
  readonly kv: KV;
  readonly lock: WriteLock;
  readonly chain: Chain;
  readonly ledger: Ledger;
  readonly chat: ConstructorParameters<typeof PaidChat>[0];
  readonly now: () => number;
  readonly log: Log;
  readonly closers: Closers;
}

/** What moves money besides rewards, and the check that goes over all balances. Gives back what a crash left reserved. */
export async function openMoney({ kv, lock, chain, ledger, chat, now, log, closers }: MoneyContext) {
  // Late: a tenth of a second of loading, which a start need not wait for.
  const recover = async (signature: Uint8Array, digest: Uint8Array) =>
    (await import('#shared/crypto/recover.ts')).recoverAddress(signature, digest);
  const fees = new ChatFees({ kv, lock, ledger, chain, now, recover });
  await fees.start();
  const paidChat = new PaidChat(chat, fees);
  closers.push(() => paidChat.close());
  const { networkId } = chain;
  const transfers = new Transfers(TRANSFER_DEFAULTS, { kv, lock, ledger, networkId, now, recover });
  closers.push(() => transfers.close());
  const onFault = (error: unknown) => log.error('the ledger does not add up', {}, error);
  const check = new LedgerCheck(LEDGER_CHECK_DEFAULTS, { kv, ledger, onFault });
  check.start();
  closers.push(() => check.close());
  return { fees, paidChat, transfers, adjustments: new Adjustments({ kv, lock, ledger, chain, now }) };
}
