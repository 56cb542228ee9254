import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PoolError } from '#shared/errors/pool-error.ts';

/** Slow headers and idle connections end by themselves. */
const HEADERS_TIMEOUT_MS = 15_000;
const KEEP_ALIVE_MS = 10_000;
/** Requests that are still running when the server closes are cut off after it. */
const CLOSE_GRACE_MS = 1_000;

/** Starts to listen; OPTION where the address cannot be had. Returns the address as people reach it, and the end. */
export async function listen(
  http: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<{ readonly url: string; readonly close: () => Promise<void> }> {
  http.headersTimeout = HEADERS_TIMEOUT_MS;
  http.keepAliveTimeout = KEEP_ALIVE_MS;
  // Uploads take as long as they take: the upload handler has a least rate instead.
  http.requestTimeout = 0;
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
