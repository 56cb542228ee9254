import type { Hello } from '#coordinator/dispatch/worker-session.ts';
import type { PoolError } from '#shared/errors/pool-error.ts';
import type { FromWorker, ToWorker } from '#shared/protocol/worker.ts';

/** A worker's line, as whoever serves the worker sees it. */
export interface WorkerLine {
  send(message: ToWorker): void;
  /** Tells the worker that a message of its is refused, and counts it against it. */
  refuse(error: PoolError): void;
  close(code: number, reason: string): void;
  /** Calls back when the worker has received all that was sent so far. */
  roundTrip(then: () => void): void;
}

/** A worker that was let in. */
export interface Admission {
  /** Throws what refuses the message; a pool that is elsewhere refuses later, over the line. */
  deliver(message: FromWorker): void;
  /** Its leases go back. `goodbye` where it said so itself. Idempotent. */
  leave(goodbye?: boolean): void;
}

/** The pool as a gateway sees it: in the coordinator its own workers, in a further gateway the link to them. */
export interface WorkerDesk {
  /**
   * Lets a worker in whose key is proven, and welcomes it over its line. UNAUTHORISED, BANNED; UNAVAILABLE where the
   * pool cannot be asked.
   */
  admit(hello: Hello, line: WorkerLine): Promise<Admission>;
  /** Lets nobody in by this key for a while. */
  ban(publicKey: string): void;
}
