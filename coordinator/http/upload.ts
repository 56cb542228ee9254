import type { Request, RequestHandler, Response } from 'express';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

export interface UploadOptions {
  readonly single: boolean;
  readonly maxUploadBytes: number;
}

/** Slower than this on average, after the grace, and the upload is a way to hold a connection. */
const MIN_BYTES_PER_SECOND = 10_000;
const GRACE_MS = 15_000;
/** However fast it was before: after this long without a byte nobody is there any more. */
const MAX_IDLE_MS = 30_000;
const WATCH_MS = 1_000;
/** A refused client is listened to for so much longer, so that it reads the answer instead of a broken pipe. */
const DRAIN_MS = 3_000;

/** Streams the body into the pool: 202 when it is new and durable, 200 when it was known. */
export function uploadHandler(
  submit: NonNullable<PoolApi['submit']>,
  options: UploadOptions,
): RequestHandler {
  return async (request, response) => {
    const body = new GuardedBody(request, options.maxUploadBytes);
    try {
      const bytes = declaredBytes(request, options.maxUploadBytes);
      const stream = body.pieces();
      const { view, isNew } = await submit({ stream, bytes, single: options.single });
      response
        .status(isNew ? 202 : 200)
        .location(`/submissions/${view.id}`)
        .json(view);
    } finally {
      // Whoever refuses early leaves the rest of the body unread: the watch must not outlive the answer.
      body.stop();
      drain(request, response);
    }
  };
}

function declaredBytes(request: Request, maxUploadBytes: number): number | undefined {
  const encoding = request.get('content-encoding') ?? 'identity';
  must(
    encoding === 'identity',
    'UNSUPPORTED_MEDIA_TYPE',
    `expected no content encoding, got ${encoding.slice(0, 40)}`,
  );
  const header = request.get('content-length');
  if (header === undefined) return undefined;
  const bytes = Number(header);
  must(bytes <= maxUploadBytes, 'TOO_LARGE', `expected at most ${maxUploadBytes} bytes, got ${bytes}`);
  return bytes;
}

/** The body, ended by TOO_LARGE, TIMEOUT or WEIGHTS_TRUNCATED where it is too long, too slow or broken off. */
class GuardedBody {
  readonly #request: Request;
  readonly #maxBytes: number;
  readonly #startedMs = performance.now();
  /** Ends the wait for the next piece. */
  #refuse: (error: PoolError) => void = () => undefined;
  #refused: PoolError | undefined;
  readonly #watch: NodeJS.Timeout;
  #heardMs = this.#startedMs;
  #bytes = 0;

  constructor(request: Request, maxBytes: number) {
    this.#request = request;
    this.#maxBytes = maxBytes;
    this.#watch = setInterval(() => this.#check(performance.now()), WATCH_MS);
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    // Keeps the socket: the answer still has to go out on it.
    const pieces = this.#request.iterator({ destroyOnReturn: false });
    for (;;) {
      const { done, value } = await this.#next(pieces);
      if (done) return;
      this.#heardMs = performance.now();
      this.#bytes += value.length;
      must(this.#bytes <= this.#maxBytes, 'TOO_LARGE', `expected at most ${this.#maxBytes} bytes`);
      yield value;
    }
  }

  stop(): void {
    clearInterval(this.#watch);
  }

  /** Not a race with one long-lived promise, which would keep every piece until it settles. */
  #next(pieces: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    return new Promise((resolve, reject) => {
      if (this.#refused) return reject(this.#refused);
      this.#refuse = reject;
      pieces.next().then(resolve, (cause: unknown) => {
        const message = `the upload broke off after ${this.#bytes} bytes`;
        reject(new PoolError('WEIGHTS_TRUNCATED', message, {}, { cause }));
      });
    });
  }

  #check(nowMs: number): void {
    const elapsedMs = nowMs - this.#startedMs;
    const slow = elapsedMs > GRACE_MS && this.#bytes < (elapsedMs / 1000) * MIN_BYTES_PER_SECOND;
    if (!slow && nowMs - this.#heardMs <= MAX_IDLE_MS) return;
    this.#refused = new PoolError(
      'TIMEOUT',
      `expected at least ${MIN_BYTES_PER_SECOND} bytes per second, without long breaks`,
    );
    this.#refuse(this.#refused);
  }
}

/** Reads on and throws away for a moment after an early answer, then ends the connection. */
function drain(request: Request, response: Response): void {
  if (request.complete) return;
  if (!response.headersSent) response.set('connection', 'close');
  request.resume();
  const timer = setTimeout(() => request.destroy(), DRAIN_MS);
  request.once('close', () => clearTimeout(timer));
}
