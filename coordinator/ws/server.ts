import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';

/** What serves the connections of one path. */
export interface Endpoint {
  readonly path: string;
  /** Frames above this end the connection (1009). */
  readonly maxPayloadBytes: number;
  readonly maxConnections: number;
  /** Browsers of other origins are refused where the endpoint acts for its user. */
  readonly sameOriginOnly: boolean;
  /** Whether one connection more from this address is taken: nobody may use up all that there are. */
  hasRoomFor(address: string): boolean;
  accept(socket: WebSocket, address: string): void;
}

/** The address, or the network of it, that a request comes from. */
export type AddressOf = (request: IncomingMessage) => string;

const PING_MS = 15_000;
const CLOSE_MS = 500;
/** Who does not answer a goodbye is not waited for longer. */
const GOODBYE_MS = 2_000;
/** No message of ours comes in more pieces than this: a million one-byte fragments would cost far more than a message. */
const MAX_FRAGMENTS = 1_000;

/** Hands each WebSocket upgrade to its endpoint, and ends connections that do not answer pings. */
export class WebSocketEdge {
  readonly #endpoints: { endpoint: Endpoint; server: WebSocketServer }[];
  readonly #addressOf: AddressOf;
  readonly #alive = new WeakSet<WebSocket>();
  readonly #timer: NodeJS.Timeout;
  #closed = false;

  constructor(http: Server, endpoints: readonly Endpoint[], addressOf: AddressOf) {
    this.#addressOf = addressOf;
    this.#endpoints = endpoints.map((endpoint) => ({ endpoint, server: serverFor(endpoint) }));
    http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#timer = setInterval(() => this.#ping(), PING_MS);
  }

  /** Takes no more connections and says goodbye to those that are open; who does not answer is cut off. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    const closed = this.#endpoints.map(({ server }) => {
      for (const client of server.clients) client.close(1001, 'the coordinator stops');
      return new Promise<void>((resolve) => server.close(() => resolve()));
    });
    const timer = setTimeout(() => {
      for (const { server } of this.#endpoints) for (const client of server.clients) client.terminate();
    }, CLOSE_MS);
    await Promise.all(closed);
    clearTimeout(timer);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const path = (request.url ?? '').split('?')[0];
    const found = this.#endpoints.find(({ endpoint }) => endpoint.path === path);
    if (!found) return refuse(socket, '404 Not Found');
    if (this.#closed) return refuse(socket, '503 Service Unavailable');
    const { endpoint, server } = found;
    if (endpoint.sameOriginOnly && !isSameOrigin(request)) return refuse(socket, '403 Forbidden');
    const address = this.#addressOf(request);
    if (!endpoint.hasRoomFor(address)) return refuse(socket, '429 Too Many Requests');
    if (server.clients.size >= endpoint.maxConnections) return refuse(socket, '503 Service Unavailable');
    server.handleUpgrade(request, socket, head, (client) => {
      this.#alive.add(client);
      client.on('pong', () => this.#alive.add(client));
      client.on('error', () => client.terminate());
      endpoint.accept(client, address);
    });
  }

  #ping(): void {
    for (const { server } of this.#endpoints)
      for (const client of server.clients) {
        if (!this.#alive.has(client)) client.terminate();
        this.#alive.delete(client);
        client.ping();
      }
  }
}

function serverFor({ maxPayloadBytes }: Endpoint): WebSocketServer {
  const options = {
    noServer: true,
    maxPayload: maxPayloadBytes,
    maxFragments: MAX_FRAGMENTS,
    // Known to ws, though not to its types.
    closeTimeout: GOODBYE_MS,
    perMessageDeflate: false,
    clientTracking: true,
  };
  return new WebSocketServer(options);
}

/** Programs send no Origin; a browser must come from the page this server gave it. */
function isSameOrigin(request: IncomingMessage): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n`);
}

/** A reader that stops reading is cut off here instead of being buffered without end. */
export function sendBounded(socket: WebSocket, text: string, maxBufferedBytes: number): void {
  if (socket.readyState !== socket.OPEN) return;
  if (socket.bufferedAmount > maxBufferedBytes) socket.terminate();
  else socket.send(text);
}
