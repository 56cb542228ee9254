import type { Request } from 'express';
import { must, PoolError } from '#shared/errors/pool-error.ts';

export interface BodyLimits {
  readonly maxUploadBytes: number;
  /** Slower than this on average, after the grace, and the upload is a way to hold a connection. */
  readonly minBytesPerSecond: number;
  readonly graceMs: number;
  /** However fast it was before: after this long without a byte nobody is there any more. */
  readonly maxIdleMs: number;
}

/** How often a body is looked at within its grace. */
const LOOKS = 15;

/** The body, ended by TOO_LARGE, TIMEOUT or WEIGHTS_TRUNCATED where it is too long, too slow or broken off. */
export class GuardedBody {
  readonly #request: Request;
  readonly #limits: BodyLimits;
  readonly #startedMs = performance.now();
  /** Ends the wait for the next piece. */
  #reject: (error: PoolError) => void = () => undefined;
  #refused: PoolError | undefined;
  readonly #watch: NodeJS.Timeout;
  #heardMs = this.#startedMs;
  #bytes = 0;

  constructor(request: Request, limits: BodyLimits) {
    this.#request = request;
    this.#limits = limits;
    this.#watch = setInterval(() => this.#check(performance.now()), limits.graceMs / LOOKS);
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    // Keeps the socket: the answer still has to go out on it.
    const pieces = this.#request.iterator({ destroyOnReturn: false });
    for (;;) {
      const { done, value } = await this.#next(pieces);
      if (done) return;
      this.#heardMs = performance.now();
      this.#bytes += value.length;
      const { maxUploadBytes } = this.#limits;
      must(this.#bytes <= maxUploadBytes, 'TOO_LARGE', `expected at most ${maxUploadBytes} bytes`);
      yield value;
    }
  }

  /** Ends the stream with this error. */
  refuse(error: PoolError): void {
    this.#refused ??= error;
    this.#reject(error);
  }

  stop(): void {
    clearInterval(this.#watch);
  }

  /** Not a race with one long-lived promise, which would keep every piece until it settles. */
  #next(pieces: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    return new Promise((resolve, reject) => {
      if (this.#refused) return reject(this.#refused);
      this.#reject = reject;
      pieces.next().then(resolve, (cause: unknown) => {
        const message = `the upload broke off after ${this.#bytes} bytes`;
        reject(new PoolError('WEIGHTS_TRUNCATED', message, {}, { cause }));
      });
    });
  }

  #check(nowMs: number): void {
    const { minBytesPerSecond, graceMs, maxIdleMs } = this.#limits;
    const elapsedMs = nowMs - this.#startedMs;
    const slow = elapsedMs > graceMs && this.#bytes < (elapsedMs / 1000) * minBytesPerSecond;
    if (!slow && nowMs - this.#heardMs <= maxIdleMs) return;
    const message = `expected at least ${minBytesPerSecond} bytes per second, without long breaks`;
    this.refuse(new PoolError('TIMEOUT', message));
  }
}
