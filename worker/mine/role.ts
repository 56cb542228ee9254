import { fromHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { targetFromBits } from '#shared/pow/target.ts';
import type { ToWorker } from '#shared/protocol/worker.ts';
import type { Session, Work } from '#worker/client/connection.ts';
import type { Log } from '#worker/log.ts';
import { type Grinder, HEADER_BYTES } from '#worker/mine/grinder.ts';
import { RateMeter } from '#worker/rate-meter.ts';
import type { Send, WorkRole } from '#worker/runner.ts';

type Lease = Extract<ToWorker, { type: 'mine' }>;

/** One range is ground while the next one waits, so that no core idles for a round trip. */
const LEASES_IN_HAND = 2;

export interface MineRoleDependencies {
  readonly grinder: Grinder;
  readonly send: Send;
  readonly log: Log;
  readonly now: () => number;
}

/** Seeks nonces in leased ranges. */
export class MineRole implements WorkRole {
  readonly #deps: MineRoleDependencies;
  readonly #hashes: RateMeter;
  /** By lease id. */
  readonly #held = new Map<string, { work: string; abort: AbortController }>();
  #session: Session | undefined;

  constructor(deps: MineRoleDependencies) {
    this.#deps = deps;
    this.#hashes = new RateMeter(deps.now);
  }

  get hashesPerSecond(): number {
    return this.#hashes.perSecond();
  }

  connected(session: Session): void {
    this.#session = session;
    for (let i = 0; i < LEASES_IN_HAND; i++) this.#deps.send({ type: 'ready', role: 'mine' });
  }

  message(message: Work): void {
    if (message.type === 'mine') void this.#grind(message);
    if (message.type === 'cancel') this.#cancel(message.id);
  }

  disconnected(): void {
    this.#session = undefined;
    for (const { abort } of this.#held.values()) abort.abort();
    this.#held.clear();
  }

  async close(): Promise<void> {
    this.disconnected();
    await this.#deps.grinder.close();
  }

  /** The work is off (all its leases), or one lease. */
  #cancel(id: string): void {
    for (const [lease, { work, abort }] of this.#held) if (work === id || lease === id) abort.abort();
  }

  async #grind(lease: Lease): Promise<void> {
    const session = this.#session;
    const abort = new AbortController();
    this.#held.set(lease.lease, { work: lease.work, abort });
    const answer = await this.#seek(lease, abort.signal);
    if (session !== this.#session) return; // the lease went back with the line
    this.#held.delete(lease.lease);
    if (!abort.signal.aborted) this.#deps.send(answer);
    this.#deps.send({ type: 'ready', role: 'mine' });
  }

  async #seek({ lease, work, ...job }: Lease, signal: AbortSignal): Promise<Parameters<Send>[0]> {
    const { grinder, log } = this.#deps;
    try {
      const header = fromHex(job.header, HEADER_BYTES);
      const range = { start: BigInt(job.start), count: BigInt(job.count) };
      const found = await grinder.grind({ header, target: targetFromBits(job.bits), ...range }, signal);
      this.#hashes.add(Number(found.hashes));
      return {
        type: 'range',
        lease,
        work,
        nonce: found.nonce?.toString() ?? null,
        hashes: `${found.hashes}`,
      };
    } catch (cause) {
      const error = PoolError.from(cause);
      log.warn('a range could not be searched', { code: error.code, why: error.message });
      return { type: 'failed', lease, error: error.toObject() };
    }
  }
}
