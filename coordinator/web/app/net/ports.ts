/** What the page's logic needs from the browser, narrow enough to be stood in for in a test. */

export interface SocketHandlers {
  onOpen(): void;
  onText(text: string): void;
  /** Once, whatever the reason; nothing follows it. */
  onClose(): void;
}

export interface Socket {
  send(text: string): void;
  close(): void;
}

/** Opens a WebSocket to a path of this coordinator, without a leading slash. */
export type OpenSocket = (path: string, handlers: SocketHandlers) => Socket;

export interface Timers {
  now(): number;
  /** Runs `task` once after `ms`; the returned function cancels it. */
  after(ms: number, task: () => void): () => void;
}

/** GET of a path of this coordinator, without a leading slash; rejects unless the answer is 2xx JSON. */
export type GetJson = (path: string) => Promise<unknown>;
