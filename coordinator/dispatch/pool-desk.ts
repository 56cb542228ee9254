import { randomBytes } from 'node:crypto';
import { Bans } from '#coordinator/dispatch/bans.ts';
import type { Admission, WorkerDesk, WorkerLine } from '#coordinator/dispatch/worker-desk.ts';
import { type Hello, WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { Workers } from '#coordinator/dispatch/workers.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { HEARTBEAT_MS } from '#shared/protocol/worker.ts';

const BEARER_BYTES = 24;

/** The desk of the coordinator itself: makes the sessions that the stages hand leases to. PROTOCOL §11. */
export class PoolDesk implements WorkerDesk {
  readonly #workers: Workers;
  readonly #now: () => number;
  readonly #bans = new Bans(() => performance.now());

  constructor(workers: Workers, now: () => number) {
    this.#workers = workers;
    this.#now = now;
  }

  async admit(hello: Hello, line: WorkerLine): Promise<Admission> {
    this.#bans.check(hello.publicKey);
    const publicKey = fromHex(hello.publicKey, 33);
    const { name, token, owner } = hello;
    const admitted = await this.#workers.admit({ publicKey, name, token, owner });
    const bearer = randomBytes(BEARER_BYTES).toString('hex');
    const session = new WorkerSession(line, { hello, publicKey, bearer, nowMs: this.#now(), ...admitted });
    const { address, owner: worksFor } = session;
    line.send({ type: 'welcome', session: bearer, heartbeatMs: HEARTBEAT_MS, address, owner: worksFor });
    this.#workers.join(session);
    return {
      deliver: (message) => {
        session.lastSeenMs = this.#now();
        this.#workers.deliver(session, message);
      },
      leave: (goodbye) => this.#workers.leave(session, goodbye),
    };
  }

  ban(publicKey: string): void {
    this.#bans.ban(publicKey);
  }
}
