import type { Move } from '#shared/block/journal.ts';
import { vestingAccount } from '#shared/reward/keyless-account.ts';

/** A part of a submitter's reward that is not theirs yet. */
export interface Vested {
  readonly submission: Uint8Array;
  /** Address of the submitter. */
  readonly submitter: string;
  readonly amount: bigint;
}

/** PROTOCOL §10: back to the submitter where the submission held out, else gone. */
export function settleMove(networkId: Uint8Array, vested: Vested, held: boolean): Move {
  const { submission: ref, submitter, amount } = vested;
  const from = vestingAccount(networkId);
  return held
    ? { kind: 'release', ref, from, to: submitter, amount }
    : { kind: 'forfeit', ref, from, to: null, amount };
}
