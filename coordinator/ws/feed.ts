import type { WebSocket } from 'ws';
import { PerAddress } from '#coordinator/ws/per-address.ts';
import { type Endpoint, sendBounded } from '#coordinator/ws/server.ts';
import type { FeedEvent } from '#shared/api/schemas.ts';

const MAX_BUFFERED_BYTES = 1024 * 1024;
/** Many viewers may stand behind one address. */
const MAX_PER_ADDRESS = 200;

/** `/ws/feed`: every state change, head, loss and worker, to whoever listens. It takes no messages. */
export class Feed implements Endpoint {
  readonly path = '/ws/feed';
  readonly maxPayloadBytes = 1024;
  readonly maxConnections = 1_000;
  readonly sameOriginOnly = false;
  readonly #listeners = new Set<WebSocket>();
  readonly #addresses = new PerAddress(MAX_PER_ADDRESS);

  hasRoomFor(address: string): boolean {
    return this.#addresses.hasRoomFor(address);
  }

  accept(socket: WebSocket, address: string): void {
    this.#listeners.add(socket);
    socket.on('close', this.#addresses.enter(address));
    socket.on('close', () => this.#listeners.delete(socket));
    socket.on('message', () => socket.close(1008, 'the feed takes no messages'));
  }

  publish(event: FeedEvent): void {
    const text = JSON.stringify(event);
    for (const socket of this.#listeners) sendBounded(socket, text, MAX_BUFFERED_BYTES);
  }
}
