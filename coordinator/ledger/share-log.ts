import { setTimeout as sleep } from 'node:timers/promises';
import type { PreparedUnits, WorkUnits } from '#coordinator/ledger/work-units.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { encodeUnit, type Work, type WorkUnit } from '#shared/block/work-log.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { Receipt } from '#shared/protocol/receipt.ts';

/** A share that stands in the log, on the disk. */
export interface CreditedShare {
  readonly unit: WorkUnit;
  readonly receipt: Receipt;
}

export interface ShareLogParts {
  readonly kv: KV;
  readonly units: WorkUnits;
  readonly now: () => number;
  /** Signed for all that were written together. */
  readonly receipts: (units: readonly Uint8Array[]) => Receipt[];
}

interface Waiting {
  readonly work: Work;
  readonly resolve: (credited: CreditedShare) => void;
  readonly reject: (error: unknown) => void;
}

/** So many shares wait for one write at most: more of them would wait for longer than a worker should. */
const MOST_TOGETHER = 1_000;
/**
 * From the begin of one write to that of the next at least. Each write costs a flush and a signature however many
 * shares are in it: without the pause, those of a busy pool take a third of its main thread (measured).
 */
const WRITE_EVERY_MS = 5;

/**
 * Appends shares to the grinding log, and is the only one who does. Those that come while a write is on its way, or
 * shortly after, are written together by the next: one flush to the disk for many. Nothing is acknowledged before it is there.
 */
export class ShareLog {
  readonly #parts: ShareLogParts;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #beganMs = Number.NEGATIVE_INFINITY;

  constructor(parts: ShareLogParts) {
    this.#parts = parts;
  }

  /** Resolves when the share is durable; SHARE_DUPLICATE where its hash was credited before. */
  add(work: Work): Promise<CreditedShare> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  /** Resolves when all that was added is written. */
  async close(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const pauseMs = this.#beganMs + WRITE_EVERY_MS - performance.now();
      if (pauseMs > 0) await sleep(pauseMs);
      this.#beganMs = performance.now();
      const together = this.#waiting.splice(0, MOST_TOGETHER);
      try {
        const fresh = await this.#unknown(together);
        if (fresh.length > 0) await this.#append(fresh);
      } catch (error) {
        for (const { reject } of together) reject(error);
      }
    }
    // At once: what is added from now on begins another.
    this.#writing = undefined;
  }

  /** Those whose hash stands nowhere yet; the others are refused. */
  async #unknown(together: readonly Waiting[]): Promise<Waiting[]> {
    const credited = await this.#parts.units.areCredited(together.map(({ work }) => work.ref));
    const seen = new Set<string>();
    return together.filter(({ work, reject }, i) => {
      const ref = toHex(work.ref);
      const isNew = !credited[i] && !seen.has(ref);
      seen.add(ref);
      if (!isNew) reject(new PoolError('SHARE_DUPLICATE', 'a share with this hash was credited before'));
      return isNew;
    });
  }

  async #append(fresh: readonly Waiting[]): Promise<void> {
    const { kv, units, now, receipts } = this.#parts;
    const prepared: PreparedUnits = units.prepare(
      'grinding',
      fresh.map(({ work }) => work),
      now(),
    );
    await kv.batch(prepared.ops, { durable: true });
    units.apply(prepared);
    const signed = receipts(prepared.units.map(encodeUnit));
    for (const [i, { resolve }] of fresh.entries())
      resolve({ unit: prepared.units[i] as WorkUnit, receipt: signed[i] as Receipt });
  }
}
