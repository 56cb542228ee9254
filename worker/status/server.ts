import { rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PoolError } from '#shared/errors/pool-error.ts';
import { statusMetrics } from '#worker/status/metrics.ts';
import { statusPage } from '#worker/status/page.ts';
import type { WorkerStatus } from '#worker/status/status.ts';
import { writeAddress } from '#worker/status/status-file.ts';

const LOOPBACK = '127.0.0.1';
/** Names by which a browser on this machine may come; any other was led here by a page of the internet. */
const OUR_NAMES = /^(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?$/i;

export interface StatusServerOptions {
  /** 0 takes a free one. */
  readonly port: number;
  /** Where `aiblock worker status` looks for the address. */
  readonly file: string;
  status(): Promise<WorkerStatus>;
}

/** The worker's own view, for this machine alone: `/` for people, `/status` as JSON, `/metrics` for Prometheus. */
export class StatusServer {
  readonly url: string;
  readonly #http: Server;
  readonly #file: string;

  private constructor(http: Server, file: string) {
    this.#http = http;
    this.#file = file;
    this.url = `http://${LOOPBACK}:${(http.address() as AddressInfo).port}`;
  }

  /** OPTION where the port is taken. */
  static async start(options: StatusServerOptions): Promise<StatusServer> {
    const http = createServer((request, response) => void answer(request, response, options));
    await new Promise<void>((resolve, reject) => {
      http.once('error', (error: NodeJS.ErrnoException) => {
        const why = error.code === 'EADDRINUSE' ? 'is taken' : `cannot be had (${error.code})`;
        reject(new PoolError('OPTION', `--status-port: port ${options.port} ${why}; 0 takes a free one`));
      });
      http.listen(options.port, LOOPBACK, resolve);
    });
    const server = new StatusServer(http, options.file);
    await writeAddress(options.file, server.url);
    return server;
  }

  async close(): Promise<void> {
    await rm(this.#file, { force: true });
    this.#http.closeAllConnections();
    await new Promise<void>((resolve) => this.#http.close(() => resolve()));
  }
}

/** Path → content type and text. */
const VIEWS: Readonly<Record<string, readonly [type: string, text: (status: WorkerStatus) => string]>> = {
  '/': ['text/html; charset=utf-8', statusPage],
  '/status': ['application/json', (status) => JSON.stringify(status)],
  '/metrics': ['text/plain; version=0.0.4; charset=utf-8', statusMetrics],
};

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { status }: StatusServerOptions,
): Promise<void> {
  const path = (request.url ?? '').split('?')[0] ?? '';
  const view = Object.hasOwn(VIEWS, path) ? VIEWS[path] : undefined;
  if (!OUR_NAMES.test(request.headers.host ?? '')) return refuse(response, 403);
  if (!view) return refuse(response, 404);
  if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(response, 405);
  const [type, text] = view;
  const body = await status().then(text, () => undefined);
  if (body === undefined) return refuse(response, 503);
  response.writeHead(200, {
    'content-type': type,
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
    'x-content-type-options': 'nosniff',
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, { connection: 'close' }).end();
}
