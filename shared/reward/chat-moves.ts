import type { Move } from '#shared/block/journal.ts';
import { splitAmount } from '#shared/money.ts';

/** Of each fee, where the Meta block says nothing else: who answered, whose weights they are, who runs the pool. */
export const CHAT_SPLIT_BP = { worker: 6_000, royalties: 3_000, pool: 1_000 } as const;

export interface ChatBill {
  /** The chat, in every entry that belongs to it. */
  readonly ref: Uint8Array;
  /** Who asked, and the account without a key where the reserved lies. */
  readonly account: string;
  readonly escrow: string;
  readonly reserved: bigint;
  /** What the delivered tokens cost; never more than the reserved. */
  readonly fee: bigint;
  /** Owner of the worker that answered. */
  readonly worker: string;
  readonly pool: string;
  /** Address → share of the weights in use, of any scale; the pool's where it is empty. */
  readonly royalties: ReadonlyMap<string, bigint>;
  readonly splitBp: { readonly worker: number; readonly royalties: number; readonly pool: number };
}

/** PROTOCOL §16: what becomes of a reservation. The moves sum to it, to the last unit. */
export function chatMoves(bill: ChatBill): Move[] {
  const { ref, account, escrow: from, reserved, fee, splitBp } = bill;
  const weights = [splitBp.worker, splitBp.royalties, splitBp.pool].map(BigInt);
  const [toWorker = 0n, toWeights = 0n, toPool = 0n] = splitAmount(fee, weights);
  const owners = [...bill.royalties].filter(([, share]) => share > 0n).sort(([a], [b]) => (a < b ? -1 : 1));
  const parts =
    owners.length === 0
      ? []
      : splitAmount(
          toWeights,
          owners.map(([, share]) => share),
        );
  const moves: Move[] = [
    { kind: 'chat-settle', ref, from, to: bill.worker, amount: toWorker },
    ...owners.map(([to], i): Move => ({ kind: 'royalty', ref, from, to, amount: parts[i] as bigint })),
    { kind: 'fee', ref, from, to: bill.pool, amount: owners.length === 0 ? toPool + toWeights : toPool },
    { kind: 'chat-refund', ref, from, to: account, amount: reserved - fee },
  ];
  return moves.filter(({ amount }) => amount > 0n);
}
