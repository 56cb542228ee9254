import type { OpenSocket, SocketHandlers, Timers } from '#coordinator/web/app/net/ports.ts';

/** Time that moves only when a test says so. */
export class ManualTimers implements Timers {
  #now = 0;
  #tasks: { at: number; task: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, task: () => void): () => void {
    const entry = { at: this.#now + ms, task };
    this.#tasks.push(entry);
    return () => {
      this.#tasks = this.#tasks.filter((one) => one !== entry);
    };
  }

  /** Runs everything due within the next `ms`, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const due = this.#tasks.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#tasks = this.#tasks.filter((one) => one !== due);
      this.#now = due.at;
      due.task();
    }
    this.#now = end;
  }
}

/** Sockets that a test opens, fills and closes from the far side. */
export class ManualSockets {
  readonly opened: { path: string; handlers: SocketHandlers; sent: string[]; closed: boolean }[] = [];

  readonly open: OpenSocket = (path, handlers) => {
    const socket = { path, handlers, sent: [] as string[], closed: false };
    this.opened.push(socket);
    return {
      send: (text) => socket.sent.push(text),
      close: () => {
        if (socket.closed) return;
        socket.closed = true;
        handlers.onClose();
      },
    };
  };

  get last() {
    const socket = this.opened.at(-1);
    if (!socket) throw new Error('no socket was opened');
    return socket;
  }
}

/** Lets promises that are already settled run their handlers. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
