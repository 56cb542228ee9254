import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import express, { type Express, type Request, type RequestHandler, type Response } from 'express';
import { must, PoolError } from '#shared/errors/pool-error.ts';

export interface WriteLimits {
  /** Requests that change something, from one address: so many at once, and so many a second from then on. */
  readonly writesAtOnce: number;
  readonly writesPerSecond: number;
  /** A body of JSON is in a packet or two: whoever takes longer holds a connection. Uploads have a limit of their own. */
  readonly maxJsonMs: number;
}

/** Addresses that were quiet long enough are forgotten when there are so many. */
const MAX_KNOWN = 20_000;

interface Bucket {
  tokens: number;
  atMs: number;
}

/** Limits writing requests per address: TOO_MANY_REQUESTS with the time to wait. Bodies of JSON have a deadline. */
export function limitWrites({ writesAtOnce, writesPerSecond, maxJsonMs }: WriteLimits): RequestHandler {
  const buckets = new Map<string, Bucket>();
  return (request, response, next) => {
    if (request.method === 'GET' || request.method === 'HEAD') return next();
    const nowMs = performance.now();
    const key = networkOf(request.ip ?? '');
    const bucket = buckets.get(key) ?? { tokens: writesAtOnce, atMs: nowMs };
    const earned = ((nowMs - bucket.atMs) / 1000) * writesPerSecond;
    const tokens = Math.min(writesAtOnce, bucket.tokens + earned);
    must(tokens >= 1, 'TOO_MANY_REQUESTS', 'too many requests from this address', {
      retry_after_seconds: Math.ceil(1 / writesPerSecond),
    });
    buckets.set(key, { tokens: tokens - 1, atMs: nowMs });
    if (buckets.size > MAX_KNOWN) forgetQuiet(buckets, nowMs - (writesAtOnce / writesPerSecond) * 1000);
    if (request.is('application/json')) endLate({ request, response, next, maxJsonMs });
    next();
  };
}

/** Tells the network that a request comes from, also one that no app sees: an upgrade. */
export function addressOfRequests(proxies: string | undefined): (request: IncomingMessage) => string {
  const app = express();
  if (proxies !== undefined) trustProxy(app, proxies);
  return ({ headers, socket }) => {
    const seen = Object.create(app.request, { headers: { value: headers }, socket: { value: socket } });
    return networkOf((seen as Request).ip ?? '');
  };
}

/** Whoever has an IPv6 address has 2⁶⁴ of them: the first half counts. */
export function networkOf(address: string): string {
  if (isIP(address) !== 6 || address.includes('.')) return address;
  const [left = '', right] = address.split('::');
  const before = left.split(':');
  const after = right === undefined ? [] : right.split(':');
  return [...before, ...Array(Math.max(0, 8 - before.length - after.length)).fill('0'), ...after]
    .slice(0, 4)
    .join(':');
}

function forgetQuiet(buckets: Map<string, Bucket>, beforeMs: number): void {
  for (const [key, { atMs }] of buckets) if (atMs < beforeMs) buckets.delete(key);
}

function endLate(late: {
  request: Request;
  response: Response;
  next: (error: unknown) => void;
  maxJsonMs: number;
}): void {
  const { request, response, next, maxJsonMs } = late;
  const timer = setTimeout(() => {
    // The body's parser is not to tell of the end that comes now: the request has its answer.
    for (const event of ['data', 'end', 'error', 'aborted', 'close']) request.removeAllListeners(event);
    request.on('error', () => undefined);
    if (response.headersSent) return void request.destroy();
    response.set('connection', 'close').once('finish', () => request.destroy());
    next(new PoolError('TIMEOUT', `expected the body within ${maxJsonMs / 1000} s`));
  }, maxJsonMs);
  for (const event of ['end', 'close']) request.once(event, () => clearTimeout(timer));
}

/** Takes the address of a client from X-Forwarded-For where these proxies wrote it. OPTION where it is no such list. */
export function trustProxy(app: Express, proxies: string): void {
  try {
    app.set('trust proxy', /^[0-9]{1,2}$/.test(proxies) ? Number(proxies) : proxies);
  } catch (cause) {
    const shown = JSON.stringify(proxies.slice(0, 100));
    throw new PoolError(
      'OPTION',
      `AIBLOCK_TRUST_PROXY: expected a number of proxies, or their addresses, got ${shown}`,
      {},
      { cause },
    );
  }
}
