import { randomBytes } from 'node:crypto';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import { Work } from '#coordinator/mining/work.ts';
import { bitsFromTarget } from '#shared/pow/target.ts';
import type { ToWorker } from '#shared/protocol/worker.ts';

const HEADER_BYTES = 264;
/** Nothing solves a probe. */
const BITS = bitsFromTarget(1n);
const PROBE_SECONDS = 1;
/** Shares that a probe has on average: enough to tell a rate to a third. */
const SHARES = 8n;

/**
 * Short ranges of headers that stand for nothing, for an idle pool to learn how fast its workers hash. Nobody is paid
 * for them: hashes that secure no block would only raise what all grinders spend on the same reward.
 */
export class Probes {
  readonly #everyMs: number;
  readonly #now: () => number;
  readonly #nextMs = new WeakMap<WorkerSession, number>();
  readonly #running = new Map<string, Work>();
  #count = 0;

  constructor(everyMs: number, now: () => number) {
    this.#everyMs = everyMs;
    this.#now = now;
  }

  /** A probe for this worker; undefined where none is due. */
  lease(session: WorkerSession, hashesPerSecond: number): Extract<ToWorker, { type: 'mine' }> | undefined {
    const now = this.#now();
    if (this.#everyMs === 0 || now < (this.#nextMs.get(session) ?? 0)) return undefined;
    this.#nextMs.set(session, now + this.#everyMs);
    const count = BigInt(Math.max(1, Math.round(hashesPerSecond * PROBE_SECONDS)));
    const work = new Work(`probe-${++this.#count}`, new Uint8Array(randomBytes(HEADER_BYTES)), BITS);
    this.#running.set(work.id, work);
    return work.lease(session, { count, difficulty: count > SHARES ? count / SHARES : 1n });
  }

  find(id: string): Work | undefined {
    return this.#running.get(id);
  }

  /** To be called when its range came back. */
  returned(work: Work): void {
    this.#running.delete(work.id);
  }

  lost(session: WorkerSession): void {
    for (const work of this.#running.values()) if (work.holders.has(session)) this.returned(work);
  }

  /** There is work: calls off what runs. */
  cancel(): void {
    for (const work of this.#running.values())
      for (const session of work.holders) session.send({ type: 'cancel', id: work.id });
  }
}
