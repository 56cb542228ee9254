import { timingSafeEqual } from 'node:crypto';
import type { Reputations } from '#coordinator/dispatch/reputations.ts';
import type { LeaseRole, WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import { BUCKET, bucketKey } from '#coordinator/store/keys.ts';
import { type KV, put } from '#coordinator/store/kv.ts';
import type { WorkerView } from '#shared/api/schemas.ts';
import { type CborValue, encodeCbor } from '#shared/block/cbor.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { FromWorker, Role } from '#shared/protocol/worker.ts';

/** What a stage does with the messages and the loss of workers; each takes only what concerns it. */
export interface WorkerListener {
  onReady?(session: WorkerSession, role: LeaseRole): void;
  onMessage?(session: WorkerSession, message: FromWorker): void;
  onJoin?(session: WorkerSession): void;
  onLost?(session: WorkerSession): void;
}

/** A worker that asks for more than it can do would starve the others. */
const MAX_LEASES = 64;
/** Workers that are gone are shown for a while, not for ever. */
const MAX_GONE = 100;

/** The workers that are attached now, and the keys that may attach. */
export class Workers {
  readonly #kv: KV;
  readonly #token: string;
  readonly #reputations: Pick<Reputations, 'isOut' | 'of'>;
  /** Public key (hex) → session: one per key. */
  readonly #sessions = new Map<string, WorkerSession>();
  /** The last view of those that left since the start. */
  readonly #gone = new Map<string, WorkerView>();
  readonly #listeners: WorkerListener[] = [];

  constructor(
    kv: KV,
    {
      token,
      reputations,
    }: { readonly token: string; readonly reputations: Pick<Reputations, 'isOut' | 'of'> },
  ) {
    this.#kv = kv;
    this.#token = token;
    this.#reputations = reputations;
  }

  listen(listener: WorkerListener): void {
    this.#listeners.push(listener);
  }

  /** UNAUTHORISED unless the key is enrolled, or the token enrols it now; BANNED while its results are not wanted. */
  async authorise(
    publicKey: Uint8Array,
    enrolment: { token?: string | undefined; name: string; at: number },
  ): Promise<void> {
    must(
      !this.#reputations.isOut(publicKey),
      'BANNED',
      'the results of this worker were not those of the others: it gets no work for a day',
    );
    const key = bucketKey(BUCKET.worker, publicKey);
    if (await this.#kv.get(key)) return;
    const given = Buffer.from(enrolment.token ?? '');
    const wanted = Buffer.from(this.#token);
    must(
      given.length === wanted.length && timingSafeEqual(given, wanted),
      'UNAUTHORISED',
      'this worker key is not enrolled: expected the enrolment token of the pool',
    );
    const record: CborValue = { v: 1, name: enrolment.name, at: enrolment.at };
    await this.#kv.batch([put(key, encodeCbor(record))], { durable: true });
  }

  join(session: WorkerSession): void {
    const id = toHex(session.publicKey);
    const before = this.#sessions.get(id);
    if (before) {
      this.leave(before);
      before.close(4409, 'the same key connected again');
    }
    this.#sessions.set(id, session);
    this.#gone.delete(id);
    for (const listener of this.#listeners) listener.onJoin?.(session);
  }

  /** Idempotent. */
  leave(session: WorkerSession): void {
    const id = toHex(session.publicKey);
    if (this.#sessions.get(id) !== session) return;
    this.#sessions.delete(id);
    this.#gone.set(id, { ...session.view(false), hashes_per_second: 0, tokens_per_second: 0 });
    const [oldest] = this.#gone.keys();
    if (this.#gone.size > MAX_GONE && oldest !== undefined) this.#gone.delete(oldest);
    for (const listener of this.#listeners) listener.onLost?.(session);
  }

  deliver(session: WorkerSession, message: FromWorker): void {
    if (message.type === 'ready') {
      must(session.has(message.role), 'MESSAGE', `the worker did not announce the role ${message.role}`);
      must(
        session.ready[message.role] + session.holds[message.role] < MAX_LEASES,
        'TOO_MANY_REQUESTS',
        `expected a worker to ask for at most ${MAX_LEASES} leases of a role at once`,
      );
      session.ready[message.role] += 1;
      for (const listener of this.#listeners) listener.onReady?.(session, message.role);
      return;
    }
    for (const listener of this.#listeners) listener.onMessage?.(session, message);
  }

  sessions(): WorkerSession[] {
    return [...this.#sessions.values()];
  }

  /** Ends the session of a key that was put out. */
  putOut(publicKey: Uint8Array): void {
    const session = this.#sessions.get(toHex(publicKey));
    if (!session) return;
    this.leave(session);
    session.close(4403, 'its results are not those of the others');
  }

  withRole(role: Role): WorkerSession[] {
    return this.sessions().filter((session) => session.has(role));
  }

  isBearer(token: string): boolean {
    return this.sessions().some((session) => session.bearer === token);
  }

  #reputationOf(publicKey: Uint8Array): Pick<WorkerView, 'reputation'> {
    const { agreements, consecutive, disagreements } = this.#reputations.of(publicKey);
    const out = this.#reputations.isOut(publicKey);
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
