import { setTimeout as sleep } from 'node:timers/promises';
import { type AddedUp, addUp } from '#coordinator/ledger/add-up.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { PoolError } from '#shared/errors/pool-error.ts';

export interface LedgerCheckOptions {
  /** From the end of one check to the next. */
  readonly everyMs: number;
  /** It rests so many times as long as it works, so that it takes a small part of a processor. */
  readonly restRatio: number;
}

export const LEDGER_CHECK_DEFAULTS: LedgerCheckOptions = { everyMs: 5 * 60_000, restRatio: 9 };

export interface LedgerCheckParts {
  readonly kv: KV;
  readonly ledger: Pick<Ledger, 'guard'>;
  /** Once, when money is found to have appeared or vanished. */
  readonly onFault: (error: unknown) => void;
}

/** Adds up all balances on the disk again and again, beside everything else, and stops paying where they are wrong. */
export class LedgerCheck {
  readonly #options: LedgerCheckOptions;
  readonly #parts: LedgerCheckParts;
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;
  #told = false;

  constructor(options: LedgerCheckOptions, parts: LedgerCheckParts) {
    this.#options = options;
    this.#parts = parts;
  }

  start(): void {
    this.#running ??= this.#loop().catch((error: unknown) => {
      if (!this.#closing.signal.aborted) this.#parts.onFault(error);
    });
  }

  /** One check now. */
  async check(): Promise<AddedUp> {
    const { kv, ledger } = this.#parts;
    let sinceMs = performance.now();
    const added = await addUp(kv, async () => {
      const workedMs = performance.now() - sinceMs;
      await this.#sleep(workedMs * this.#options.restRatio);
      sinceMs = performance.now();
    });
    ledger.guard.sum(added.sum, added);
    this.#tell();
    return added;
  }

  async close(): Promise<void> {
    this.#closing.abort(new PoolError('UNAVAILABLE', 'the coordinator stops'));
    await this.#running;
  }

  async #loop(): Promise<void> {
    for (;;) {
      this.#tell(); // of what was found since, or at the start
      await this.#sleep(this.#options.everyMs);
      await this.check();
    }
  }

  #tell(): void {
    if (this.#told) return;
    try {
      this.#parts.ledger.guard.mustHold();
    } catch (error) {
      this.#told = true;
      this.#parts.onFault(error);
    }
  }

  #sleep(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: this.#closing.signal, ref: false });
  }
}
