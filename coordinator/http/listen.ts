import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { networkOf } from '#coordinator/http/limit-writes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';

/** What connections may do that do not ask, or not yet. */
export interface ConnectionLimits {
  /** Time for the head of a request, ms. */
  readonly headMs: number;
  /** Time between two requests of a connection, ms. */
  readonly idleMs: number;
  /** How often both are looked at, ms. */
  readonly checkMs: number;
  /** Connections of one address at once; more are answered with 429. */
  readonly perAddress: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  headMs: 15_000,
  idleMs: 10_000,
  checkMs: 5_000,
  perAddress: 2_000,
};

/** Requests that are still running when the server closes are cut off after it. */
const CLOSE_GRACE_MS = 1_000;

const TOO_MANY = JSON.stringify({
  error: new PoolError('TOO_MANY_REQUESTS', 'too many connections from this address').toObject(),
});
const REFUSAL = [
  ...['HTTP/1.1 429 Too Many Requests', 'Connection: close', 'Retry-After: 10'],
  ...['Content-Type: application/json', `Content-Length: ${TOO_MANY.length}`, '', TOO_MANY],
].join('\r\n');

/** A server whose connections end by themselves where nobody asks anything on them. */
export function httpServer(handler: RequestListener, limits: ConnectionLimits = CONNECTION_LIMITS): Server {
  const http = createServer(
    {
      headersTimeout: limits.headMs,
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: limits.checkMs,
      // Uploads take as long as they take: the upload handler has a least rate instead.
      requestTimeout: 0,
    },
    handler,
  );
  limitAddresses(http, limits.perAddress);
  return http;
}

/** Behind a proxy all connections come from its address. */
export const connectionLimits = (trustProxy: string | undefined): ConnectionLimits =>
  trustProxy === undefined
    ? CONNECTION_LIMITS
    : { ...CONNECTION_LIMITS, perAddress: Number.POSITIVE_INFINITY };

function limitAddresses(http: Server, most: number): void {
  const open = new Map<string, number>();
  http.on('connection', (socket: Socket) => {
    const address = networkOf(socket.remoteAddress ?? '');
    const count = (open.get(address) ?? 0) + 1;
    open.set(address, count);
    socket.once('close', () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left > 0) open.set(address, left);
      else open.delete(address);
    });
    if (count > most) socket.end(REFUSAL, () => socket.destroy());
  });
}

/** Starts to listen; OPTION where the address cannot be had. Returns the address as people reach it, and the end. */
export async function listen(
  http: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<{ readonly url: string; readonly close: () => Promise<void> }> {
  await new Promise<void>((resolve, reject) => {
    http.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, host, port)));
    http.listen(port, host, resolve);
  });
  const address = http.address() as AddressInfo;
  const shown = address.address === '0.0.0.0' || address.address === '::' ? '127.0.0.1' : address.address;
  const url = `http://${shown.includes(':') ? `[${shown}]` : shown}:${address.port}`;
  return { url, close: () => closeServer(http) };
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): PoolError {
  const why = error.code === 'EADDRINUSE' ? 'the port is in use; set AIBLOCK_PORT' : error.message;
  return new PoolError('OPTION', `cannot listen on ${host}:${port}: ${why}`, {}, { cause: error });
}

function closeServer(http: Server): Promise<void> {
  return new Promise((resolve) => {
    http.close(() => resolve());
    setTimeout(() => http.closeAllConnections(), CLOSE_GRACE_MS).unref();
  });
}
