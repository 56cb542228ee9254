import { timingSafeEqual } from 'node:crypto';
import type { EnrolledWorker, EnrolledWorkers } from '#coordinator/dispatch/enrolled-workers.ts';
import type { Redemption, WorkerTokens } from '#coordinator/dispatch/worker-tokens.ts';
import { WriteLock } from '#coordinator/store/write-lock.ts';
import type { EnrolmentView } from '#shared/api/worker-schemas.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { type OwnerProof, provenOwner } from '#shared/protocol/owner.ts';
import type { Standing } from '#shared/protocol/standing.ts';

/** A worker that has proven its key, and what it says and shows. */
export interface Applicant {
  readonly publicKey: Uint8Array;
  readonly name: string;
  readonly token?: string | undefined;
  readonly owner?: OwnerProof | undefined;
}

/** What is true of a worker that may come in, whatever it says of itself. */
export interface Admitted {
  /** Address that it works for. */
  readonly owner: string;
  readonly standing: Standing;
}

export interface EnrolmentParts {
  readonly networkId: Uint8Array;
  readonly workers: EnrolledWorkers;
  readonly tokens: WorkerTokens;
  /** The pool's own token, with which any number of workers enrols. */
  readonly poolToken: string;
  readonly now: () => number;
}

/** Who may attach, and for whom it works: decided once, when a key is enrolled. PROTOCOL §11. */
export class Enrolment {
  readonly #parts: EnrolmentParts;
  /** One at a time: of two workers that bring the same token at once, one is enrolled. */
  readonly #lock = new WriteLock();

  constructor(parts: EnrolmentParts) {
    this.#parts = parts;
  }

  /**
   * Enrols a key that is new, durably and in one batch with the use of its token; a key that is enrolled needs none.
   * UNAUTHORISED where it may not attach, or claims another owner than it has; SIGNATURE where the owner did not sign.
   */
  admit(applicant: Applicant): Promise<Admitted> {
    return this.#lock.run(async () => {
      const { networkId, workers } = this.#parts;
      const { publicKey } = applicant;
      const shown = applicant.owner && provenOwner(networkId, publicKey, applicant.owner);
      const before = workers.of(publicKey);
      const worker = before
        ? await this.#known(applicant, before, shown)
        : await this.#enrol(applicant, shown);
      return { owner: worker.owner ?? addressOf(publicKey), standing: worker.standing };
    });
  }

  /** Durable when it resolves. NOT_FOUND for a key that is not enrolled. */
  setStanding(publicKey: Uint8Array, standing: Standing): Promise<void> {
    return this.#change(publicKey, { standing }, true);
  }

  /** It came, or went; `left` where it said goodbye. */
  seen(publicKey: Uint8Array, left: boolean): Promise<void> {
    return this.#change(publicKey, { seen: this.#parts.now(), left }, false);
  }

  /** What `admit` would say to a key, and to a token, without any effect. */
  look(publicKey: Uint8Array | undefined, token: string | undefined): EnrolmentView {
    const worker = publicKey && this.#parts.workers.of(publicKey);
    const key = publicKey ? (worker?.standing ?? 'unknown') : null;
    if (token === undefined) return { key, token: null };
    return { key, token: this.#isPools(token) ? 'pool' : this.#parts.tokens.stateOf(token) };
  }

  /** Resolves when all that was noted so far is written. */
  async close(): Promise<void> {
    await this.#lock.run(async () => undefined);
  }

  all(): ReturnType<EnrolledWorkers['all']> {
    return this.#parts.workers.all();
  }

  #change(publicKey: Uint8Array, change: Partial<EnrolledWorker>, durable: boolean): Promise<void> {
    return this.#lock.run(async () => {
      const before = this.#parts.workers.of(publicKey);
      must(before, 'NOT_FOUND', 'this key is not enrolled');
      await this.#parts.workers.put(publicKey, { ...before, ...change }, { durable });
    });
  }

  /** The owner stands once it is known: a worker that could change it could sit twice on one committee. */
  async #known(
    { publicKey, name }: Applicant,
    before: EnrolledWorker,
    shown: string | undefined,
  ): Promise<EnrolledWorker> {
    must(before.standing !== 'revoked', 'UNAUTHORISED', 'the operator revoked the key of this worker');
    checkOwner(before.owner, shown);
    const worker = { ...before, name, owner: before.owner ?? shown ?? null };
    if (worker.owner !== before.owner || worker.name !== before.name)
      await this.#parts.workers.put(publicKey, worker, { durable: worker.owner !== before.owner });
    return worker;
  }

  async #enrol(
    { publicKey, name, token = '' }: Applicant,
    shown: string | undefined,
  ): Promise<EnrolledWorker> {
    const { workers, now } = this.#parts;
    const redeemed = this.#redeem(token);
    const owner = redeemed?.token.owner ?? null;
    checkOwner(owner, shown);
    const worker: EnrolledWorker = {
      name,
      at: now(),
      owner: owner ?? shown ?? null,
      token: redeemed?.token.id ?? null,
      standing: 'active',
      seen: 0,
      left: true,
    };
    await workers.put(publicKey, worker, { durable: true, also: redeemed ? [redeemed.op] : [] });
    redeemed?.done();
    return worker;
  }

  /** Undefined for the pool's own token. */
  #redeem(token: string): Redemption | undefined {
    must(token !== '', 'UNAUTHORISED', 'this worker key is not enrolled: expected an enrolment token');
    return this.#isPools(token) ? undefined : this.#parts.tokens.redeem(token);
  }

  #isPools(token: string): boolean {
    const given = Buffer.from(token);
    const pools = Buffer.from(this.#parts.poolToken);
    return given.length === pools.length && timingSafeEqual(given, pools);
  }
}

function checkOwner(bound: string | null, shown: string | undefined): void {
  must(
    bound === null || shown === undefined || shown === bound,
    'UNAUTHORISED',
    () => `this worker is enrolled for the owner ${bound}, and shows the signature of ${shown}`,
  );
}
