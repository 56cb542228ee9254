import type { LedgerTotals } from '#coordinator/ledger/ledger.ts';
import { must } from '#shared/errors/pool-error.ts';

const REPAIR = 'Stop the pool and run `aiblock reindex`: it makes the balances anew from the journal';
/** Balances that are remembered as they were written: those of the accounts that move most. */
const REMEMBERED = 100_000;

/**
 * Watches that money neither appears nor vanishes: Σ balances = minted − burned, no balance below zero or above all
 * there is, and each read as it was last written. What it finds wrong once is wrong until a start that finds all
 * right: nothing may be paid on top of it.
 */
export class BalanceGuard {
  readonly #written = new Map<string, bigint>();
  #fault: string | undefined;

  /** What is wrong, or undefined. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Notes what is wrong; the first fault stays. */
  blame(fault: string): void {
    this.#fault ??= fault;
  }

  /** JOURNAL where something was wrong before, with what to do. */
  mustHold(): void {
    must(this.#fault === undefined, 'JOURNAL', () => `${this.#fault}: nothing is paid any more. ${REPAIR}`);
  }

  /** Σ balances beside the totals. */
  sum(sum: bigint, { minted, burned }: Pick<LedgerTotals, 'minted' | 'burned'>): void {
    if (sum !== minted - burned)
      this.blame(`the balances sum to ${sum}, minted less burned is ${minted - burned}`);
  }

  /** Balances as they came from the store. */
  read(balances: ReadonlyMap<string, bigint>, { minted, burned }: LedgerTotals): void {
    for (const [address, balance] of balances) {
      const written = this.#written.get(address);
      if (written !== undefined && written !== balance)
        this.blame(`the balance of ${address} was written as ${written} and read as ${balance}`);
      // A balance below zero has no form in the store: its bytes would be those of a number beyond all money.
      if (balance > minted - burned)
        this.blame(`the balance of ${address} is ${balance}, of ${minted - burned} that there are`);
    }
  }

  /** Balances that are on the disk now. */
  wrote(balances: ReadonlyMap<string, bigint>): void {
    for (const [address, balance] of balances) {
      this.#written.delete(address); // the newest go behind all others
      this.#written.set(address, balance);
    }
    for (const address of this.#written.keys()) {
      if (this.#written.size <= REMEMBERED) return;
      this.#written.delete(address);
    }
  }
}
