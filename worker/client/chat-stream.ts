import { on } from 'node:events';
import WebSocket from 'ws';
import { type ChatEvent, chatEventSchema, type PaidChatRequest } from '#shared/api/chat-schemas.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { parseMessage } from '#shared/protocol/worker.ts';
import { webSocketUrl } from '#worker/client/urls.ts';

const HANDSHAKE_TIMEOUT_MS = 10_000;
const MAX_EVENT_BYTES = 1024 * 1024;

/**
 * Asks the model over `/ws/chat` and yields pieces of the answer as they come; the last event is `done`.
 * Refusals reject with the pool's PoolError, a coordinator that is not there with UNAVAILABLE, an address without
 * chats with NOT_FOUND. Leaving the loop or aborting closes the line, which stops the generation.
 */
export async function* streamChat(
  coordinator: string,
  request: PaidChatRequest,
  signal: AbortSignal,
): AsyncGenerator<Exclude<ChatEvent, { type: 'error' }>> {
  const url = webSocketUrl(coordinator, 'ws/chat');
  const socket = new WebSocket(url, {
    perMessageDeflate: false,
    maxPayload: MAX_EVENT_BYTES,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  });
  socket.once('open', () => socket.send(JSON.stringify(request)));
  try {
    for await (const [data] of on(socket, 'message', { close: ['close'], signal })) {
      const event = parseMessage(chatEventSchema, String(data));
      if (event.type === 'error') throw PoolError.fromObject(event.error);
      yield event;
      if (event.type === 'done') return;
    }
    throw new PoolError('UNAVAILABLE', `${url}: the coordinator ended the chat before its answer`);
  } catch (error) {
    if (error instanceof PoolError || signal.aborted) throw error;
    // The text is all that `ws` gives of an answer that is no WebSocket.
    must(
      (error as Error).message !== 'Unexpected server response: 404',
      'NOT_FOUND',
      `${url}: this address does not serve chats, as a further gateway does not: ask the coordinator`,
    );
    const why = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    throw new PoolError(
      'UNAVAILABLE',
      `${url}: the coordinator does not answer (${why})`,
      {},
      { cause: error },
    );
  } finally {
    socket.on('error', () => {});
    if (socket.readyState === WebSocket.CONNECTING) socket.terminate();
    else socket.close(1000);
  }
}
