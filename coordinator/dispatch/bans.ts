import { must } from '#shared/errors/pool-error.ts';

const BAN_MS = 60_000;

/** Keys that are shut out for a while, by public key in hex. In memory: a restart forgives. */
export class Bans {
  readonly #untilMs = new Map<string, number>();
  readonly #now: () => number;

  /** `now` is a clock that is never set. */
  constructor(now: () => number) {
    this.#now = now;
  }

  ban(publicKey: string): void {
    const now = this.#now();
    for (const [key, untilMs] of this.#untilMs) if (untilMs <= now) this.#untilMs.delete(key);
    this.#untilMs.set(publicKey, now + BAN_MS);
  }

  /** BANNED */
  check(publicKey: string): void {
    must(
      (this.#untilMs.get(publicKey) ?? Number.NEGATIVE_INFINITY) <= this.#now(),
      'BANNED',
      'this worker broke the rules; try again in a minute',
    );
  }
}
