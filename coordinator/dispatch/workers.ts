import type { Admitted, Applicant, Enrolment } from '#coordinator/dispatch/enrolment.ts';
import type { Reputations } from '#coordinator/dispatch/reputations.ts';
import type { LeaseRole, WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { WorkerView } from '#shared/api/worker-schemas.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { Standing } from '#shared/protocol/standing.ts';
import type { FromWorker, Role } from '#shared/protocol/worker.ts';

/** What a stage does with the messages and the loss of workers; each takes only what concerns it. */
export interface WorkerListener {
  onReady?(session: WorkerSession, role: LeaseRole): void;
  onMessage?(session: WorkerSession, message: FromWorker): void;
  onJoin?(session: WorkerSession): void;
  onLost?(session: WorkerSession): void;
  onHeartbeat?(session: WorkerSession): void;
}

/** A worker that asks for more than it can do would starve the others. */
const MAX_LEASES = 64;
/** Workers that are gone are shown for a while, not for ever. */
const MAX_GONE = 100;

/** Why a session was ended, where the worker need not be banned for it. */
const CLOSE = { sameKey: 4409, paused: 4410, shutOut: 4403 } as const;

export interface WorkersParts {
  readonly enrolment: Pick<Enrolment, 'admit' | 'setStanding' | 'seen'>;
  readonly reputations: Pick<Reputations, 'isOut' | 'of'>;
  readonly onFault: (message: string, error: unknown) => void;
}

/** The workers that are attached now. */
export class Workers {
  readonly #parts: WorkersParts;
  /** Public key (hex) → session: one per key. */
  readonly #sessions = new Map<string, WorkerSession>();
  /** The last view of those that left since the start. */
  readonly #gone = new Map<string, WorkerView>();
  readonly #listeners: WorkerListener[] = [];

  constructor(parts: WorkersParts) {
    this.#parts = parts;
  }

  listen(listener: WorkerListener): void {
    this.#listeners.push(listener);
  }

  /** As `Enrolment.admit`; BANNED while its results are not wanted. */
  async admit(applicant: Applicant): Promise<Admitted> {
    must(
      !this.#parts.reputations.isOut(applicant.publicKey),
      'BANNED',
      'the results of this worker were not those of the others: it gets no work for a day',
    );
    return this.#parts.enrolment.admit(applicant);
  }

  /** What the operator wants of a worker, durably; what it holds goes back unless it drains. NOT_FOUND. */
  async setStanding(publicKey: Uint8Array, standing: Standing): Promise<void> {
    await this.#parts.enrolment.setStanding(publicKey, standing);
    const session = this.#sessions.get(toHex(publicKey));
    if (!session) return;
    session.standing = standing;
    session.send({ type: 'standing', standing });
    if (standing === 'revoked') this.#end(session, CLOSE.shutOut, 'revoked by the operator');
    else if (standing === 'paused') this.#end(session, CLOSE.paused, 'paused by the operator');
    else if (standing === 'draining') session.rest();
    else for (const role of session.wake()) this.#ask(session, role);
  }

  join(session: WorkerSession): void {
    const id = toHex(session.publicKey);
    const before = this.#sessions.get(id);
    if (before) this.#end(before, CLOSE.sameKey, 'the same key connected again');
    this.#sessions.set(id, session);
    this.#gone.delete(id);
    this.#note(session, false);
    if (session.standing !== 'active') session.send({ type: 'standing', standing: session.standing });
    for (const listener of this.#listeners) listener.onJoin?.(session);
  }

  /** Its leases go back. `goodbye` where it said so itself. Idempotent. */
  leave(session: WorkerSession, goodbye = false): void {
    const id = toHex(session.publicKey);
    if (this.#sessions.get(id) !== session) return;
    this.#sessions.delete(id);
    this.#gone.set(id, { ...session.view(false), hashes_per_second: 0, tokens_per_second: 0 });
    const [oldest] = this.#gone.keys();
    if (this.#gone.size > MAX_GONE && oldest !== undefined) this.#gone.delete(oldest);
    this.#note(session, goodbye);
    for (const listener of this.#listeners) listener.onLost?.(session);
  }

  deliver(session: WorkerSession, message: FromWorker): void {
    if (message.type === 'heartbeat') {
      session.beat(message);
      for (const listener of this.#listeners) listener.onHeartbeat?.(session);
      return;
    }
    if (message.type === 'ready') {
      must(session.has(message.role), 'MESSAGE', `the worker did not announce the role ${message.role}`);
      must(
        session.asked(message.role) + session.holds[message.role] < MAX_LEASES,
        'TOO_MANY_REQUESTS',
        `expected a worker to ask for at most ${MAX_LEASES} leases of a role at once`,
      );
      return this.#ask(session, message.role);
    }
    if (message.type === 'drain') {
      session.leaving = true;
      return session.rest();
    }
    for (const listener of this.#listeners) listener.onMessage?.(session, message);
  }

  session(publicKey: Uint8Array): WorkerSession | undefined {
    return this.#sessions.get(toHex(publicKey));
  }

  sessions(): WorkerSession[] {
    return [...this.#sessions.values()];
  }

  /** Ends the session of a key that was put out. */
  putOut(publicKey: Uint8Array): void {
    const session = this.#sessions.get(toHex(publicKey));
    if (session) this.#end(session, CLOSE.shutOut, 'its results are not those of the others');
  }

  /** Those of a role that take something new. */
  withRole(role: Role): WorkerSession[] {
    return this.sessions().filter((session) => session.has(role) && session.takes);
  }

  isBearer(token: string): boolean {
    return this.sessions().some((session) => session.bearer === token);
  }

  #ask(session: WorkerSession, role: LeaseRole): void {
    if (!session.ask(role)) return;
    for (const listener of this.#listeners) listener.onReady?.(session, role);
  }

  #end(session: WorkerSession, code: number, reason: string): void {
    this.leave(session);
    session.close(code, reason);
  }

  /** When it was last here is worth a write, not a fault. */
  #note({ publicKey }: WorkerSession, left: boolean): void {
    const { enrolment, onFault } = this.#parts;
    enrolment.seen(publicKey, left).catch((error: unknown) => onFault('a worker could not be noted', error));
  }

  #reputationOf(publicKey: Uint8Array): Pick<WorkerView, 'reputation'> {
    const { agreements, consecutive, disagreements } = this.#parts.reputations.of(publicKey);
    const out = this.#parts.reputations.isOut(publicKey);
    if (agreements + disagreements === 0 && !out) return {};
    return { reputation: { agreements, consecutive, disagreements, out } };
  }

  views(): WorkerView[] {
    const here = this.sessions().map((session) => [toHex(session.publicKey), session.view(true)] as const);
    return [...here, ...this.#gone].map(([id, view]) => ({
      ...view,
      ...this.#reputationOf(fromHex(id, 33)),
    }));
  }
}
