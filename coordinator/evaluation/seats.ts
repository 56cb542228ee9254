import { tensorMessage } from '#coordinator/dispatch/model-ref.ts';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { Committee, Seat } from '#coordinator/evaluation/committee.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

export interface Taken {
  readonly seat: Seat;
  readonly committee: Committee;
}

/** The leases of all committees, and the messages that open, turn and end them. */
export class Seats {
  readonly #taken = new Map<string, Taken>();
  readonly #options: { readonly leaseMs: number; readonly now: () => number };
  #last = 0;

  constructor(options: { readonly leaseMs: number; readonly now: () => number }) {
    this.#options = options;
  }

  /** The seat stands at once; `tell` sends the worker its lease. */
  take(committee: Committee, session: WorkerSession): Seat {
    session.ready.evaluate -= 1;
    session.holds.evaluate += 1;
    const lease = `evaluation-${++this.#last}`;
    const seat: Seat = {
      lease,
      session,
      commitment: undefined,
      revealing: false,
      expiresMs: this.#deadline(),
    };
    committee.seats.set(lease, seat);
    this.#taken.set(lease, { seat, committee });
    return seat;
  }

  tell({ job }: Committee, { lease, session }: Seat): void {
    const { kind, target, model, changed, rule, shards } = job;
    session.send({
      type: 'evaluate',
      lease,
      submission: toHex(target.submission),
      head: toHex(target.head),
      model,
      changed: changed.map(tensorMessage),
      candidateRoot: toHex(target.candidateRoot),
      windows: [...target.windows],
      rule: kind === 'submission' ? { ...rule, looks: [...rule.looks] } : null,
      ...(shards && { heldOut: shards }),
    });
  }

  has({ lease }: Seat): boolean {
    return this.#taken.has(lease);
  }

  /** LEASE_UNKNOWN where the worker does not hold it (any more). */
  of(session: WorkerSession, lease: string): Taken {
    const taken = this.#taken.get(lease);
    must(taken?.seat.session === session, 'LEASE_UNKNOWN', `this worker does not hold lease ${lease}`);
    return taken;
  }

  heldBy(session: WorkerSession): Taken[] {
    return [...this.#taken.values()].filter(({ seat }) => seat.session === session);
  }

  /** From here on the worker is free for other work. */
  commit({ seat }: Taken, commitment: Uint8Array): void {
    must(seat.commitment === undefined, 'ATTESTATION', 'this worker has committed to a result already');
    seat.commitment = commitment;
    seat.expiresMs = this.#deadline();
    seat.session.holds.evaluate -= 1;
  }

  /** Asks all that have committed for their losses. */
  reveal(committee: Committee): void {
    for (const seat of committee.seats.values()) {
      if (seat.commitment === undefined || seat.revealing) continue;
      seat.revealing = true;
      seat.expiresMs = this.#deadline();
      seat.session.send({ type: 'reveal', lease: seat.lease });
    }
  }

  end({ seat, committee }: Taken): void {
    if (!this.#taken.delete(seat.lease)) return;
    committee.seats.delete(seat.lease);
    if (seat.commitment === undefined) seat.session.holds.evaluate -= 1;
  }

  /** Ends the seats of a committee whose results are not wanted any more. */
  cancel(committee: Committee): void {
    for (const seat of [...committee.seats.values()]) {
      this.end({ seat, committee });
      seat.session.send({ type: 'cancel', id: seat.lease });
    }
  }

  #deadline(): number {
    return this.#options.now() + this.#options.leaseMs;
  }
}
