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
/** A refused client is listened to for so much longer, so that it reads the answer instead of a broken pipe. */
const DRAIN_MS = 3_000;

/** Streams the body into the pool: 202 when it is new and durable, 200 when it was known. */
export function uploadHandler(
  submit: NonNullable<PoolApi['submit']>,
  options: UploadOptions,
): RequestHandler {
  return async (request, response) => {
    try {
      const bytes = declaredBytes(request, options.maxUploadBytes);
      const stream = guarded(request, options.maxUploadBytes);
      const { view, isNew } = await submit({ stream, bytes, single: options.single });
      response
        .status(isNew ? 202 : 200)
        .location(`/submissions/${view.id}`)
        .json(view);
    } finally {
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
async function* guarded(request: Request, maxUploadBytes: number): AsyncGenerator<Uint8Array> {
  const startedMs = performance.now();
  let bytes = 0;
  const timer = setInterval(() => {
    const seconds = (performance.now() - startedMs) / 1000;
    if (seconds * 1000 > GRACE_MS && bytes < seconds * MIN_BYTES_PER_SECOND)
      request.destroy(new PoolError('TIMEOUT', `expected at least ${MIN_BYTES_PER_SECOND} bytes per second`));
  }, 1_000);
  try {
    // Keeps the socket: the answer still has to go out on it.
    for await (const piece of request.iterator({ destroyOnReturn: false })) {
      bytes += (piece as Uint8Array).length;
      must(bytes <= maxUploadBytes, 'TOO_LARGE', `expected at most ${maxUploadBytes} bytes`);
      yield piece as Uint8Array;
    }
  } catch (error) {
    if (error instanceof PoolError) throw error;
    throw new PoolError(
      'WEIGHTS_TRUNCATED',
      `the upload broke off after ${bytes} bytes`,
      {},
      { cause: error },
    );
  } finally {
    clearInterval(timer);
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
