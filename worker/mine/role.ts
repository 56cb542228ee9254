import { fromHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { targetFromBits } from '#shared/pow/target.ts';
import type { ToWorker } from '#shared/protocol/worker.ts';
import type { Session, Work } from '#worker/client/connection.ts';
import type { Log } from '#worker/log.ts';
import { type Grinder, type GrindResult, HEADER_BYTES } from '#worker/mine/grinder.ts';
import { RateMeter } from '#worker/rate-meter.ts';
import type { Send, WorkRole } from '#worker/runner.ts';

type Lease = Extract<ToWorker, { type: 'mine' }>;

/** One range is ground while the next one waits, so that no core idles for a round trip. */
const LEASES_IN_HAND = 2;
const RATE_WINDOW_MS = 10_000;

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
  readonly #held = new Map<string, { work: string; since: number; abort: AbortController }>();
  #session: Session | undefined;
  #endedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: MineRoleDependencies) {
    this.#deps = deps;
    this.#hashes = new RateMeter(deps.now, RATE_WINDOW_MS);
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

  #share({ lease, work }: Lease, nonce: bigint): void {
    const held = this.#held.get(lease);
    if (!held) return; // the lease went back with the line
    const ms = this.#deps.now() - Math.max(held.since, this.#endedAt);
    this.#deps.send({ type: 'share', lease, work, nonce: nonce.toString(), ms });
  }

  /** The work is off (all its leases), or one lease. */
  #cancel(id: string): void {
    for (const [lease, { work, abort }] of this.#held) if (work === id || lease === id) abort.abort();
  }

  async #grind(lease: Lease): Promise<void> {
    const session = this.#session;
    const abort = new AbortController();
    const since = this.#deps.now();
    this.#held.set(lease.lease, { work: lease.work, since, abort });
    const found = await this.#seek(lease, abort.signal);
    // Ranges are searched one after another: this one's own time began when the one before it ended.
    const ms = this.#deps.now() - Math.max(since, this.#endedAt);
    this.#endedAt = this.#deps.now();
    if (found) this.#hashes.add(Number(found.hashes), ms);
    if (session !== this.#session) return; // the lease went back with the line
    this.#held.delete(lease.lease);
    const hashes = (found?.hashes ?? 0n).toString();
    this.#deps.send({ type: 'range', lease: lease.lease, work: lease.work, ms, hashes });
    // A grinder that is broken asks for no more, instead of using up range after range.
    if (found) this.#deps.send({ type: 'ready', role: 'mine' });
  }

  async #seek(lease: Lease, signal: AbortSignal): Promise<GrindResult | undefined> {
    const { grinder, log } = this.#deps;
    try {
      const header = fromHex(lease.header, HEADER_BYTES);
      const range = { start: BigInt(lease.start), count: BigInt(lease.count) };
      const target = BigInt(`0x${lease.target}`);
      const found = (nonce: bigint) => this.#share(lease, nonce);
      return await grinder.grind({ header, target: targetFromBits(lease.bits), ...range }, signal, {
        target,
        found,
      });
    } catch (cause) {
      const { code } = PoolError.from(cause);
      log.error('hashing stopped: a range could not be searched', { code, why: (cause as Error).message });
      return undefined;
    }
  }
}
