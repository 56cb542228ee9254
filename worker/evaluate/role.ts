import { randomBytes } from 'node:crypto';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { type KeyPair, sign } from '#shared/crypto/keys.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { attestationDigest, commitmentDigest } from '#shared/protocol/attestation.ts';
import type { FromWorker, ToWorker } from '#shared/protocol/worker.ts';
import type { Session, Work } from '#worker/client/connection.ts';
import type { EvaluationOutcome, Evaluator } from '#worker/evaluate/evaluator.ts';
import type { Log } from '#worker/log.ts';
import { RateMeter } from '#worker/rate-meter.ts';
import type { Send, WorkRole } from '#worker/runner.ts';

type Lease = Extract<ToWorker, { type: 'evaluate' }>;
type Evaluated = Extract<FromWorker, { type: 'evaluated' }>;

const PROGRESS_MS = 1_000;
const RATE_WINDOW_MS = 60_000;

export interface EvaluateRoleDependencies {
  /** One for each evaluation that may run at once. */
  readonly evaluators: readonly Pick<Evaluator, 'evaluate'>[];
  readonly key: KeyPair;
  readonly send: Send;
  readonly log: Log;
  readonly now: () => number;
  /** Runs a computation with everything less urgent held back. */
  during<T>(compute: () => Promise<T>): Promise<T>;
  /** Ends the evaluation process. */
  close(): Promise<void>;
}

interface Run {
  readonly session: Session;
  readonly evaluator: Pick<Evaluator, 'evaluate'>;
  readonly signal: AbortSignal;
}

/** Results whose turn to be shown has not come yet; the oldest goes first. */
const MOST_KEPT = 100;

/**
 * Evaluates submissions, one at a time in each of its processes, and signs what it found. The pool gets a hash of it at once, and the losses
 * when it asks for them, so that nobody can copy another's. PROTOCOL §8.
 */
export class EvaluateRole implements WorkRole {
  readonly #deps: EvaluateRoleDependencies;
  readonly #tokens: RateMeter;
  #session: Session | undefined;
  /** Those with nothing to do. */
  readonly #free: Pick<Evaluator, 'evaluate'>[];
  /** By lease id. */
  readonly #held = new Map<string, AbortController>();
  /** Lease → what was committed to. */
  readonly #kept = new Map<string, Evaluated>();

  constructor(deps: EvaluateRoleDependencies) {
    this.#deps = deps;
    this.#tokens = new RateMeter(deps.now, RATE_WINDOW_MS);
    this.#free = [...deps.evaluators];
  }

  /** Evaluations that run, and results that wait to be shown. */
  get unfinished(): number {
    return this.#held.size + this.#kept.size;
  }

  get tokensPerSecond(): number {
    return this.#tokens.perSecond();
  }

  connected(session: Session): void {
    this.#session = session;
    for (const _ of this.#deps.evaluators) this.#deps.send({ type: 'ready', role: 'evaluate' });
  }

  message(message: Work): void {
    if (message.type === 'evaluate') void this.#run(message);
    if (message.type === 'reveal') this.#reveal(message.lease);
    if (message.type !== 'cancel') return;
    this.#kept.delete(message.id);
    this.#held.get(message.id)?.abort();
  }

  disconnected(): void {
    this.#session = undefined;
    for (const abort of this.#held.values()) abort.abort();
    this.#held.clear();
    this.#kept.clear();
  }

  async close(): Promise<void> {
    this.disconnected();
    await this.#deps.close();
  }

  async #run(lease: Lease): Promise<void> {
    const session = this.#session;
    if (!session) return;
    const evaluator = this.#free.pop();
    if (!evaluator) {
      const most = this.#deps.evaluators.length;
      this.#deps.send(
        failed(lease, new PoolError('TOO_MANY_REQUESTS', `expected ${most} evaluations at once`)),
      );
      return;
    }
    const abort = new AbortController();
    this.#held.set(lease.lease, abort);
    const answer = await this.#evaluate(lease, { session, evaluator, signal: abort.signal });
    this.#free.push(evaluator);
    if (session !== this.#session) return; // the lease went back with the line
    this.#held.delete(lease.lease);
    if (!abort.signal.aborted) this.#deps.send(answer);
    this.#deps.send({ type: 'ready', role: 'evaluate' });
  }

  #reveal(lease: string): void {
    const result = this.#kept.get(lease);
    if (!result) return;
    this.#kept.delete(lease);
    this.#deps.send(result);
  }

  /** Keeps the result, and tells its hash. */
  #commit(result: Evaluated, windows: readonly number[], { networkId }: Session): FromWorker {
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= MOST_KEPT && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(result.lease, result);
    const committed = { ...result, windows, nonce: fromHex(result.nonce, 32) };
    const commitment = commitmentDigest(networkId, committed, this.#deps.key.publicKey);
    return { type: 'committed', lease: result.lease, commitment: toHex(commitment) };
  }

  async #evaluate(lease: Lease, { session, evaluator, signal }: Run): Promise<FromWorker> {
    const { log, during } = this.#deps;
    try {
      const job = { ...lease, bearer: session.bearer };
      const outcome = await during(() => evaluator.evaluate(job, signal, this.#progress(lease.lease)));
      this.#tokens.add(outcome.tokens, outcome.ms);
      log.info('evaluated', describe(lease, outcome));
      // Windows after the look that decided are no part of the result.
      const windows = lease.windows.slice(0, outcome.base.length);
      const result = this.#attest({ ...lease, windows }, session, outcome);
      return signal.aborted ? result : this.#commit(result, windows, session);
    } catch (cause) {
      const error = PoolError.from(cause);
      if (!signal.aborted) log.warn('an evaluation failed', { code: error.code, why: reason(cause) });
      return failed(lease, error);
    }
  }

  #attest(lease: Lease, { networkId }: Session, outcome: EvaluationOutcome): Evaluated {
    const { windows } = lease;
    const target = {
      submission: fromHex(lease.submission, 32),
      head: fromHex(lease.head, 32),
      baseRoot: fromHex(lease.model.root, 32),
      candidateRoot: fromHex(lease.candidateRoot, 32),
      windows,
      heldOut: lease.heldOut && fromHex(lease.heldOut.root, 32),
    };
    // A loss that is not finite is signed as null: such a result can be attested, though never certified.
    const signature = sign(attestationDigest(networkId, target, outcome), this.#deps.key.secretKey);
    return {
      type: 'evaluated',
      lease: lease.lease,
      base: [...outcome.base],
      candidate: [...outcome.candidate],
      nonce: randomBytes(32).toString('hex'),
      signature: toHex(signature),
      ms: outcome.ms,
      tokens: outcome.tokens,
    };
  }

  #progress(lease: string): (done: number, total: number) => void {
    const { now, send } = this.#deps;
    let toldAt = now();
    return (done, total) => {
      if (now() - toldAt < PROGRESS_MS) return;
      toldAt = now();
      send({ type: 'progress', lease, done, total });
    };
  }
}

function failed({ lease }: Lease, error: PoolError): FromWorker {
  return { type: 'failed', lease, error: error.toObject() };
}

/** An unexpected error's own text, for our log only. */
function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function describe(lease: Lease, outcome: EvaluationOutcome) {
  return {
    submission: lease.changed.length === 0 ? 'head' : lease.submission.slice(0, 12),
    windows: outcome.base.length,
    of: lease.windows.length,
    baseNats: mean(outcome.base),
    candidateNats: mean(outcome.candidate),
    ms: Math.round(outcome.ms),
  };
}

function mean(losses: readonly (number | null)[]): number | string {
  let sum = 0;
  for (const loss of losses) {
    if (loss === null) return 'not finite';
    sum += loss;
  }
  return Math.round((sum / Math.max(1, losses.length)) * 1e-2) / 1e4;
}
