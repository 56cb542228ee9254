import type { Standing } from '#shared/protocol/standing.ts';
import type { FromWorker } from '#shared/protocol/worker.ts';
import type { Session, Work } from '#worker/client/connection.ts';
import type { Log, LogFields } from '#worker/log.ts';
import type { Send, WorkRole } from '#worker/runner.ts';

export interface Trouble {
  /** Unix milliseconds. */
  readonly at: number;
  readonly message: string;
}

/** Counts what goes over the line and remembers what went wrong last, for the owner of the machine. */
export class Tally implements WorkRole {
  readonly #now: () => number;
  /** By type of message, since the start. */
  readonly #sent = new Map<string, number>();
  readonly #received = new Map<string, number>();
  session: Session | undefined;
  standing: Standing = 'active';
  /** When the line went up or down, Unix milliseconds. */
  since: number;
  trouble: Trouble | undefined;

  constructor(now: () => number) {
    this.#now = now;
    this.since = now();
  }

  sent(type: string): number {
    return this.#sent.get(type) ?? 0;
  }

  received(type: string): number {
    return this.#received.get(type) ?? 0;
  }

  /** The same way out, counted; what was not sent does not count. */
  counting(send: Send): Send {
    return (message: FromWorker) => {
      const isSent = send(message);
      if (isSent) this.#sent.set(message.type, this.sent(message.type) + 1);
      return isSent;
    };
  }

  /** The same log; its last warning or error is remembered. */
  listening(log: Log): Log {
    const noted = (write: (message: string, fields?: LogFields) => void) => {
      return (message: string, fields?: LogFields) => {
        this.trouble = { at: this.#now(), message };
        write(message, fields);
      };
    };
    return {
      debug: (...line) => log.debug(...line),
      info: (...line) => log.info(...line),
      warn: noted((...line) => log.warn(...line)),
      error: noted((...line) => log.error(...line)),
    };
  }

  connected(session: Session): void {
    this.session = session;
    this.standing = 'active';
    this.since = this.#now();
  }

  message(message: Work): void {
    // What an idle pool measures pays nothing and has no receipt: it is no credited work.
    if (message.type !== 'credited' || message.receipt)
      this.#received.set(message.type, this.received(message.type) + 1);
    if (message.type === 'standing') this.standing = message.standing;
  }

  disconnected(): void {
    if (this.session) this.since = this.#now();
    this.session = undefined;
  }

  async close(): Promise<void> {
    this.disconnected();
  }
}
