import type { Workers } from '#coordinator/dispatch/workers.ts';
import { encodeUnit, type WorkUnit } from '#shared/block/work-log.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { makeReceipts, type Receipt } from '#shared/protocol/receipt.ts';

/** The pool's signature under what its workers are credited with. PROTOCOL §10. */
export class Receipts {
  readonly #networkId: Uint8Array;
  readonly #pool: KeyPair;

  constructor(networkId: Uint8Array, pool: KeyPair) {
    this.#networkId = networkId;
    this.#pool = pool;
  }

  /** For encoded units that were written together: one signature for all of them. */
  sign(units: readonly Uint8Array[]): Receipt[] {
    return makeReceipts(this.#networkId, units, this.#pool);
  }

  /** Sends those of a commit to their workers, where these are here; the units stand in the log in any case. */
  send(units: readonly WorkUnit[], workers: Pick<Workers, 'sessions'>): void {
    const sessions = new Map(workers.sessions().map((session) => [toHex(session.publicKey), session]));
    this.sign(units.map(encodeUnit)).forEach((receipt, i) => {
      const { worker } = units[i] as WorkUnit;
      sessions.get(toHex(worker))?.send({ type: 'credited', receipt });
    });
  }
}
