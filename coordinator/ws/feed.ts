import type { WebSocket } from 'ws';
import { type Endpoint, sendBounded } from '#coordinator/ws/server.ts';
import type { FeedEvent } from '#shared/api/schemas.ts';

const MAX_BUFFERED_BYTES = 1024 * 1024;

/** `/ws/feed`: every state change, head, loss and worker, to whoever listens. It takes no messages. */
export class Feed implements Endpoint {
  readonly path = '/ws/feed';
  readonly maxPayloadBytes = 1024;
  readonly maxConnections = 1_000;
  readonly sameOriginOnly = false;
  readonly #listeners = new Set<WebSocket>();

  accept(socket: WebSocket): void {
    this.#listeners.add(socket);
    socket.on('close', () => this.#listeners.delete(socket));
    socket.on('message', () => socket.close(1008, 'the feed takes no messages'));
  }

  publish(event: FeedEvent): void {
    const text = JSON.stringify(event);
    for (const socket of this.#listeners) sendBounded(socket, text, MAX_BUFFERED_BYTES);
  }
}
