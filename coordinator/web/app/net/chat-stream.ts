import type { ChatEvent, PaidChatRequest } from '#shared/api/chat-schemas.ts';
import type { OpenSocket } from './ports.ts';

export interface ChatHandlers {
  onToken(text: string): void;
  onDone(done: ChatEvent & { type: 'done' }): void;
  /** The pool's own code, or `CONNECTION` where the socket ended before the answer did. */
  onError(code: string, message: string): void;
}

/** One answer over `/ws/chat`. The returned function stops it; nothing is reported after that. */
export function streamChat(request: PaidChatRequest, handlers: ChatHandlers, open: OpenSocket): () => void {
  let over = false;
  const end = (report: () => void) => {
    if (over) return;
    over = true;
    report();
    socket.close();
  };
  const socket = open('ws/chat', {
    onOpen: () => socket.send(JSON.stringify(request)),
    onText: (text) => {
      if (over) return;
      const event = parseChatEvent(text);
      if (event?.type === 'token') handlers.onToken(event.text);
      else if (event?.type === 'done') end(() => handlers.onDone(event));
      else if (event?.type === 'error') end(() => handlers.onError(event.error.code, event.error.message));
    },
    onClose: () =>
      end(() => handlers.onError('CONNECTION', 'The connection ended before the answer did. Try again.')),
  });
  return () => end(() => undefined);
}

function parseChatEvent(text: string): ChatEvent | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as ChatEvent) : null;
  } catch {
    return null;
  }
}

/** Rate of an answer, in tokens per second; null where nothing can be said. */
export function tokenRate(tokens: number, ms: number): number | null {
  return Number.isFinite(tokens) && ms > 0 && tokens > 0 ? (tokens * 1000) / ms : null;
}
