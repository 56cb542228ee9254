import type { Enrolment } from '#coordinator/dispatch/enrolment.ts';
import type { Workers } from '#coordinator/dispatch/workers.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';

/** Who has not come back by then is not waited for. */
const MISSED_MS = 24 * 3_600_000;

/** A worker that should be here: it is, or it was lately and neither said goodbye nor was sent away. */
export interface Attendee {
  readonly name: string;
  readonly address: string;
  readonly connected: boolean;
  /** Unix milliseconds. */
  readonly lastSeenMs: number;
}

/** Who is here, and who is missed. */
export class Attendance {
  readonly #enrolment: Pick<Enrolment, 'all'>;
  readonly #workers: Pick<Workers, 'session'>;
  readonly #now: () => number;
  /** Public key → address: each takes a third of a millisecond to compute. */
  readonly #addresses = new Map<string, string>();

  constructor(
    { enrolment, workers }: { enrolment: Pick<Enrolment, 'all'>; workers: Pick<Workers, 'session'> },
    now: () => number,
  ) {
    this.#enrolment = enrolment;
    this.#workers = workers;
    this.#now = now;
  }

  list(): Attendee[] {
    const oldest = this.#now() - MISSED_MS;
    return this.#enrolment.all().flatMap(([key, { name, standing, seen, left }]) => {
      const session = this.#workers.session(fromHex(key, 33));
      const missed = standing === 'active' && !left && seen > oldest;
      if (!session && !missed) return [];
      const lastSeenMs = session?.lastSeenMs ?? seen;
      return [{ name, address: this.#addressOf(key), connected: session !== undefined, lastSeenMs }];
    });
  }

  #addressOf(key: string): string {
    const known = this.#addresses.get(key) ?? addressOf(fromHex(key, 33));
    this.#addresses.set(key, known);
    return known;
  }
}
