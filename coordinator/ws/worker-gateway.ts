import type { WebSocket } from 'ws';
import { GatewayConnection, type GatewayParts } from '#coordinator/ws/gateway-connection.ts';
import { PerAddress } from '#coordinator/ws/per-address.ts';
import type { Endpoint } from '#coordinator/ws/server.ts';
import { MAX_WORKER_MESSAGE_BYTES } from '#shared/protocol/worker.ts';

/** How often it is looked for silent workers. */
const SILENCE_CHECK_MS = 500;
/** Connections of one address whose worker is not let in yet. A farm's workers come one after the other. */
const MAX_STRANGERS = 500;

/**
 * `/ws/worker`: the gateway. A worker proves its key by signing a challenge, is enrolled by the token, and is then a
 * session that the stages hand leases to. Workers never see Redis. PROTOCOL §11.
 */
export class WorkerGateway implements Endpoint {
  readonly path = '/ws/worker';
  readonly maxPayloadBytes = MAX_WORKER_MESSAGE_BYTES;
  readonly maxConnections = 5_000;
  readonly sameOriginOnly = true;
  readonly #parts: GatewayParts;
  readonly #connections = new Set<GatewayConnection>();
  readonly #strangers = new PerAddress(MAX_STRANGERS);
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
  }

  hasRoomFor(address: string): boolean {
    return this.#strangers.hasRoomFor(address);
  }

  accept(socket: WebSocket, address: string): void {
    const leave = this.#strangers.enter(address);
    const connection = new GatewayConnection(socket, this.#parts, leave);
    this.#connections.add(connection);
    this.#timer ??= setInterval(() => this.#checkSilence(), SILENCE_CHECK_MS);
    socket.on('close', () => {
      leave();
      this.#connections.delete(connection);
      if (this.#connections.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    });
  }

  #checkSilence(): void {
    const nowMs = performance.now();
    for (const connection of this.#connections) connection.checkSilence(nowMs);
  }
}
