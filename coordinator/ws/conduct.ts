import type { ErrorCode } from '#shared/errors/catalogue.ts';

/** Messages a worker may send at once and per second; heartbeats, shares and progress stay far below. */
const BURST = 400;
const PER_SECOND = 200;
/** Points of refused messages at which a worker is shut out for a while; one point is forgiven at a time. */
const MAX_FAULTS = 20;
const FORGIVE_MS = 10_000;
const POINTS = 1;
/** What no honest worker sends weighs more than what a clumsy one may, and what only came late far less. */
const POINTS_OF: Partial<Readonly<Record<ErrorCode, number>>> = {
  ATTESTATION: 7,
  WORK_LOW: 7,
  WORK_RANGE: 7,
  WORK_STALE: 0.25,
};

/** How one worker behaves: how much it may still say, and the points of what was refused. The caller has the clock. */
export class Conduct {
  #allowance = BURST;
  #faults = 0;
  #spokeMs: number;
  #forgaveMs: number;

  constructor(nowMs: number) {
    this.#spokeMs = nowMs;
    this.#forgaveMs = nowMs;
  }

  /** Counts a message; false where it is one more than any honest worker sends. */
  speaks(nowMs: number): boolean {
    const earned = ((nowMs - this.#spokeMs) / 1000) * PER_SECOND;
    this.#allowance = Math.min(BURST, this.#allowance + earned) - 1;
    this.#spokeMs = nowMs;
    return this.#allowance >= 0;
  }

  /** Counts a refusal; false where there were too many. */
  fails(code: string, nowMs: number): boolean {
    const forgiven = Math.floor((nowMs - this.#forgaveMs) / FORGIVE_MS);
    this.#forgaveMs += forgiven * FORGIVE_MS;
    this.#faults = Math.max(0, this.#faults - forgiven) + (POINTS_OF[code as ErrorCode] ?? POINTS);
    return this.#faults < MAX_FAULTS;
  }
}
