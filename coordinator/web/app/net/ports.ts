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

/** POST of JSON; rejects with a `Refusal` where the pool refuses, with another error where it does not answer. */
export type PostJson = (path: string, body: unknown) => Promise<unknown>;

/** A refusal of the pool, with the code of its catalogue. */
export class Refusal extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** What EIP-1193 promises of a wallet in the browser. */
export interface WalletProvider {
  request(call: { readonly method: string; readonly params?: readonly unknown[] }): Promise<unknown>;
  on?(event: string, listener: (value: unknown) => void): void;
  removeListener?(event: string, listener: (value: unknown) => void): void;
}

/** A wallet that made itself known to the page. */
export interface BrowserWallet {
  readonly id: string;
  readonly name: string;
  readonly provider: WalletProvider;
}

/** Tells of every wallet there is and that comes; the returned function stops it. */
export type WatchWallets = (found: (wallet: BrowserWallet) => void) => () => void;
