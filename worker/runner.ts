import type { FromWorker } from '#shared/protocol/worker.ts';
import type { ConnectionHandlers, Session, Work } from '#worker/client/connection.ts';

/** Sends to the coordinator; false where there is no session to send in. */
export type Send = (message: FromWorker) => boolean;

/**
 * One kind of work. `connected` and `disconnected` take turns; whatever a role holds when the line breaks
 * has gone back to the coordinator's queue, so it drops it.
 */
export interface WorkRole {
  /** Things begun that are worth finishing before a goodbye. */
  readonly unfinished?: number;
  connected(session: Session): void;
  /** Takes the messages that are its own and passes over the others. */
  message(message: Work): void;
  disconnected(): void;
  /** Ends its threads and processes. Can be called twice. */
  close(): Promise<void>;
}

/** Hands the messages of the line to the roles of this worker. */
export class Runner implements ConnectionHandlers {
  readonly #roles: readonly WorkRole[];

  constructor(roles: readonly WorkRole[]) {
    this.#roles = roles;
  }

  connected(session: Session): void {
    for (const role of this.#roles) role.connected(session);
  }

  message(message: Work): void {
    for (const role of this.#roles) role.message(message);
  }

  disconnected(): void {
    for (const role of this.#roles) role.disconnected();
  }

  get unfinished(): number {
    return this.#roles.reduce((sum, { unfinished = 0 }) => sum + unfinished, 0);
  }

  async close(): Promise<void> {
    this.disconnected();
    await Promise.all(this.#roles.map((role) => role.close()));
  }
}
