import type { Express, Request, RequestHandler, Response } from 'express';
import { type BodyLimits, GuardedBody } from '#coordinator/http/guarded-body.ts';
import type { PoolApi, UploadApi } from '#coordinator/http/pool-api.ts';
import type { SubmissionView } from '#shared/api/schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

export interface UploadLimits extends BodyLimits {
  /** Bodies that one address may be sending at once. */
  readonly maxUploadsPerAddress: number;
}

/** A refused client is listened to for so much longer, so that it reads the answer instead of a broken pipe. */
const DRAIN_MS = 3_000;

/**
 * Weights come in: in one piece (`POST /upload_parameters`, and `POST /mine` for one tensor), or by parts (the header
 * to `POST /uploads`, then the bytes behind it to `PUT /uploads/{id}/parts/{offset}`, as many at a time as one likes).
 * New and durable is 202, known is 200.
 */
export function addUploads(app: Express, api: Pick<PoolApi, 'uploads'>, limits: UploadLimits): void {
  const { uploads } = api;
  if (!uploads) return;
  const guarded = guard(limits);
  const whole = (single: boolean) =>
    guarded(async (body, _request, response) => {
      const { view, isNew } = await uploads.receive(body, single);
      sendSubmission(response, view, isNew);
    });
  app.post('/upload_parameters', whole(false));
  app.post('/mine', whole(true));
  app.post(
    '/uploads',
    guarded(async (body, _request, response) => {
      const { view, isNew } = await uploads.begin(body);
      response
        .status(isNew ? 201 : 200)
        .location(`/uploads/${view.id}`)
        .json(view);
    }),
  );
  app.get('/uploads/:id', async (request, response) => {
    const view = await uploads.state(idOf(request));
    must(view, 'NOT_FOUND', 'there is no upload of this id');
    response.set('cache-control', 'no-store').json(view);
  });
  app.put(
    '/uploads/:id/parts/:offset',
    guarded(async (body, request, response) => {
      const { view, isNew } = await uploads.append(idOf(request), offsetOf(request), body);
      response.status(isNew ? 202 : 200).json(view);
    }),
  );
}

function sendSubmission(response: Response, view: SubmissionView, isNew: boolean): void {
  response
    .status(isNew ? 202 : 200)
    .location(`/submissions/${view.id}`)
    .json(view);
}

const idOf = (request: Request) => fromHex(String(request.params.id), 32, 'submission id');

function offsetOf(request: Request): number {
  const text = String(request.params.offset);
  must(/^(0|[1-9][0-9]{0,14})$/.test(text), 'BAD_REQUEST', 'expected the offset as a whole number');
  return Number(text);
}

type BodyHandler = (
  body: Parameters<UploadApi['begin']>[0],
  request: Request,
  response: Response,
) => Promise<void>;

/** Gives a handler the body with its limits; a refused client still reads the answer. */
function guard(limits: UploadLimits): (handler: BodyHandler) => RequestHandler {
  const sending = new Map<string, number>();
  const count = (address: string, by: number) => {
    const now = (sending.get(address) ?? 0) + by;
    if (now > 0) sending.set(address, now);
    else sending.delete(address);
    return now;
  };
  return (handler) => async (request, response) => {
    const address = request.ip ?? '';
    const body = new GuardedBody(request, limits);
    try {
      must(
        count(address, 1) <= limits.maxUploadsPerAddress,
        'TOO_MANY_REQUESTS',
        `expected at most ${limits.maxUploadsPerAddress} uploads at once from one address`,
      );
      const bytes = declaredBytes(request, limits.maxUploadBytes);
      const stop = body.refuse.bind(body);
      await handler({ stream: body.pieces(), bytes, address, stop }, request, response);
    } finally {
      count(address, -1);
      // Whoever refuses early leaves the rest of the body unread: the watch must not outlive the answer.
      body.stop();
      drain(request);
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

/**
 * Reads on and throws away for a moment after an early answer, then ends the connection. Nothing announces that end: a
 * server that answers "connection: close" closes at once, and the client finds a broken pipe where it writes.
 */
function drain(request: Request): void {
  if (request.readableEnded) return;
  // The reader that gave up still listens, and a stream with such a listener does not flow.
  request.removeAllListeners('readable');
  request.resume();
  const timer = setTimeout(() => request.destroy(), DRAIN_MS);
  for (const event of ['end', 'close']) request.once(event, () => clearTimeout(timer));
}
