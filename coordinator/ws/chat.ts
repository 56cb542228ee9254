import type { RawData, WebSocket } from 'ws';
import { feeOf } from '#coordinator/chat/chat.ts';
import type { PoolApi } from '#coordinator/http/pool-api.ts';
import { PerAddress } from '#coordinator/ws/per-address.ts';
import { type Endpoint, sendBounded } from '#coordinator/ws/server.ts';
import { type ChatEvent, paidChatRequestSchema } from '#shared/api/chat-schemas.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { parseMessage } from '#shared/protocol/worker.ts';

const MAX_BUFFERED_BYTES = 256 * 1024;
/** Many users may stand behind one address. */
const MAX_PER_ADDRESS = 50;

/** `/ws/chat`: one question at a time per connection, answered token by token. Closing it ends the answer. */
export class ChatEndpoint implements Endpoint {
  readonly path = '/ws/chat';
  readonly maxPayloadBytes = 100_000;
  readonly maxConnections = 200;
  readonly sameOriginOnly = true;
  readonly #api: Required<Pick<PoolApi, 'chat' | 'model'>>;

  readonly #addresses = new PerAddress(MAX_PER_ADDRESS);

  constructor(api: Required<Pick<PoolApi, 'chat' | 'model'>>) {
    this.#api = api;
  }

  hasRoomFor(address: string): boolean {
    return this.#addresses.hasRoomFor(address);
  }

  accept(socket: WebSocket, address: string): void {
    socket.on('close', this.#addresses.enter(address));
    const gone = new AbortController();
    let busy = false;
    socket.on('close', () => gone.abort());
    socket.on('message', (data: RawData, isBinary: boolean) => {
      if (isBinary) return socket.close(1003, 'expected text');
      if (busy)
        return this.#send(socket, failure(new PoolError('TOO_MANY_REQUESTS', 'one question at a time')));
      busy = true;
      this.#answer(socket, String(data), gone.signal)
        .catch((error) => this.#send(socket, failure(PoolError.from(error))))
        .finally(() => {
          busy = false;
        });
    });
  }

  async #answer(socket: WebSocket, text: string, signal: AbortSignal): Promise<void> {
    const request = parseMessage(paidChatRequestSchema, text);
    const { head, root } = await this.#api.model();
    const end = await this.#api.chat(
      request,
      (piece) => this.#send(socket, { type: 'token', text: piece }),
      signal,
    );
    this.#send(socket, {
      type: 'done',
      tokens: end.tokens,
      finish_reason: end.reason,
      model_root: root,
      height: head.index,
      ...feeOf(end),
    });
  }

  #send(socket: WebSocket, event: ChatEvent): void {
    sendBounded(socket, JSON.stringify(event), MAX_BUFFERED_BYTES);
  }
}

const failure = (error: PoolError): ChatEvent => ({ type: 'error', error: error.toObject() });
