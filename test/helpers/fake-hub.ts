import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after } from 'node:test';

export const COMMIT = 'c0ffee'.padEnd(40, '0');

/**
 * The part of the Hub's API that an import uses: a model's commit, its list of files, and the files, of which those
 * kept in large storage stand at another address. What goes wrong is set by a test.
 */
export class FakeHub {
  readonly url: string;
  readonly repo = 'org/model';
  files = new Map<string, Uint8Array>();
  /** Paths kept in large storage, announced by their SHA-256. */
  large = /\.(safetensors|gguf)$/;
  /** Only requests with this token are answered. */
  token: string | undefined;
  /** Answers with it instead of a file's bytes, so often. */
  failing = { status: 503, times: 0 };
  /** Ends the line after so many bytes of a file that has more, so often. */
  cutting = { after: 0, times: 0 };
  /** What is sent instead of a file's bytes. */
  instead = new Map<string, Uint8Array>();
  /** Entries at the end of the list of files, and the address of its next page. */
  list: { more: unknown[]; next?: string } = { more: [] };
  /** Of every request the method, the path and the range. */
  readonly requests: string[] = [];
  /** Authorization headers that came to the storage. */
  readonly storageTokens: string[] = [];
  revisions = new Set(['main', 'HEAD', 'v1', COMMIT]);

  private constructor(url: string) {
    this.url = url;
  }

  /** Ends after the tests of the calling file. */
  static async start(): Promise<FakeHub> {
    const [hub, storage] = [createServer(), createServer()];
    for (const server of [hub, storage]) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    const urlOf = (server: typeof hub) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const served = new FakeHub(urlOf(hub));
    hub.on('request', (request, response) => served.#hub(request, response, urlOf(storage)));
    storage.on('request', (request, response) => served.#storage(request, response));
    after(() => {
      for (const server of [hub, storage]) {
        server.closeAllConnections();
        server.close();
      }
    });
    return served;
  }

  #hub(request: IncomingMessage, response: ServerResponse, storageUrl: string): void {
    const { pathname } = new URL(request.url ?? '', this.url);
    this.requests.push(`${request.method} ${pathname} ${request.headers.range ?? ''}`.trim());
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
      json(response, 401, { error: 'Invalid username or password.' });
      return;
    }
    const revision = new RegExp(`^/api/models/${this.repo}/revision/(.+)$`).exec(pathname)?.[1];
    if (revision !== undefined) {
      const known = this.revisions.has(decodeURIComponent(revision));
      json(response, known ? 200 : 404, known ? this.#info() : { error: 'Invalid rev id' });
      return;
    }
    if (pathname === `/api/models/${this.repo}/tree/${COMMIT}`) {
      if (this.list.next !== undefined) response.setHeader('link', `<${this.list.next}>; rel="next"`);
      json(response, 200, [...this.#tree(), ...this.list.more]);
      return;
    }
    const path = new RegExp(`^/${this.repo}/resolve/${COMMIT}/(.+)$`).exec(pathname)?.[1] ?? '';
    if (this.files.has(path) && this.large.test(path))
      response.writeHead(302, { location: `${storageUrl}/${path}` }).end();
    else this.#file(path, request, response);
  }

  #storage(request: IncomingMessage, response: ServerResponse): void {
    if (request.headers.authorization) this.storageTokens.push(request.headers.authorization);
    this.requests.push(`GET storage${request.url} ${request.headers.range ?? ''}`.trim());
    this.#file((request.url ?? '').slice(1), request, response);
  }

  #file(path: string, request: IncomingMessage, response: ServerResponse): void {
    const bytes = this.instead.get(path) ?? this.files.get(path);
    if (!bytes) {
      response.setHeader('x-error-code', 'EntryNotFound');
      json(response, 404, { error: 'Entry not found' });
      return;
    }
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    const isProbe = range?.[2] === '0';
    if (!isProbe && this.failing.times > 0) {
      this.failing.times--;
      json(response, this.failing.status, { error: 'later' });
      return;
    }
    const [start, end] = range ? [Number(range[1]), Number(range[2]) + 1] : [0, bytes.length];
    const part = bytes.subarray(start, end);
    response.writeHead(range ? 206 : 200, {
      etag: '"x"',
      'content-length': part.length,
      ...(range && { 'content-range': `bytes ${start}-${start + part.length - 1}/${bytes.length}` }),
    });
    if (isProbe || this.cutting.times === 0 || part.length <= this.cutting.after) {
      response.end(part);
      return;
    }
    this.cutting.times--;
    response.write(part.subarray(0, this.cutting.after), () => response.socket?.destroy());
  }

  #info() {
    return { _id: '1', id: this.repo, private: false, gated: false, sha: COMMIT };
  }

  #tree() {
    return [...this.files].map(([path, bytes]) => {
      const oid = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const lfs = { oid: sha256, size: bytes.length, pointerSize: 130 };
      return { type: 'file', path, size: bytes.length, oid, ...(this.large.test(path) && { lfs }) };
    });
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
