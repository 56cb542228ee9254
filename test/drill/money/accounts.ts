import { type KeyPair, keyPair } from '#shared/crypto/keys.ts';
import { BURN_ADDRESS, type Transfer } from '#shared/protocol/transfer.ts';
import type { TransferKind, Wish } from '#test/drill/money/answers.ts';
import { WORKER } from '#test/helpers/money-pool.ts';

/** Every one of them may spend; the worker among them is paid for work. */
export const ACCOUNTS: readonly KeyPair[] = [
  ...Array.from({ length: 7 }, (_, i) => keyPair(new Uint8Array(32).fill(i + 1))),
  WORKER,
];
export const NOBODY: KeyPair = keyPair(new Uint8Array(32).fill(99));
/** Seconds: no drill runs for so long. */
export const NEVER = 4_000_000_000n;
/** More than is ever minted here. */
const TOO_MUCH = 10n ** 17n;

/** A transfer as it is wished; `next` has the nonce that each account uses next, `made` how many its sender has made. */
export function transferOf(
  { kind, from, to, amount }: Wish,
  { next, made }: { next: Map<string, bigint>; made: bigint },
): Transfer {
  const { address } = ACCOUNTS[from] as KeyPair;
  const right = next.get(address) as bigint;
  if (kind === 'right' || kind === 'repeat') next.set(address, right + 1n);
  // Of those that stand in the journal: one that is under way may yet be refused.
  const used = made > 0n ? made - 1n : 10_000n;
  return {
    from: address,
    to: to === ACCOUNTS.length ? BURN_ADDRESS : receiverOf(from, to),
    // What is refused for its nonce, or its signature, is another transfer than the one that has it.
    amount: kind === 'too much' ? TOO_MUCH : amount + (APART[kind] ?? 0n),
    nonce: kind === 'used' ? used : kind === 'ahead' ? right + 5_000n : right,
    expiry: kind === 'expired' ? 1n : NEVER,
  };
}

/** Added to amounts of transfers that must not be like any that is made. */
const APART: Partial<Record<TransferKind, bigint>> = { used: 6_000_000_000n, forged: 12_000_000_000n };

/** Never oneself. */
const receiverOf = (from: number, to: number): string =>
  (ACCOUNTS[to === from ? (to + 1) % ACCOUNTS.length : to] as KeyPair).address;
