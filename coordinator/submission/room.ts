import type { Submissions } from '#coordinator/store/submissions.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

export interface IntakeLimits {
  /** Submissions that may wait at once, from everybody and from one key. */
  readonly maxPending: number;
  readonly maxPendingPerMiner: number;
  /** Uploads by parts that may be under way at once: from everybody, of one key, from one address. */
  readonly maxParts: number;
  readonly maxPartsPerMiner: number;
  readonly maxPartsPerAddress: number;
  /** Bytes of one key that wait or are under way, as their headers say. */
  readonly maxBytesPerMiner: number;
}

interface Held {
  readonly id: Uint8Array;
  readonly miner: Uint8Array;
  readonly bytes: number;
}

/** What one who has too much under way waits for: verdicts take so long. */
const RETRY_AFTER_SECONDS = 30;

/** Who may have how much waiting or on its way in. What is being received counts, so that slowness is no way around. */
export class Room {
  readonly #limits: IntakeLimits;
  readonly #submissions: Pick<Submissions, 'pending'>;
  /** In one piece, under way now. */
  readonly #running = new Set<Held>();
  /** By parts, under way or interrupted. */
  readonly #parts = new Map<string, Held & { address: string }>();

  constructor(limits: IntakeLimits, submissions: Pick<Submissions, 'pending'>) {
    this.#limits = limits;
    this.#submissions = submissions;
  }

  /** Takes a place until the returned function is called. QUEUE_FULL or TOO_MANY_REQUESTS where there is none. */
  take(held: Held): () => void {
    this.#checkPending(held);
    this.#checkBytes(held);
    this.#running.add(held);
    return () => void this.#running.delete(held);
  }

  /** Before an upload by parts begins; the same codes. */
  checkParts(held: Held, address: string): void {
    this.#checkPending(held);
    this.#checkBytes(held);
    const all = [...this.#parts.values()];
    const limit = (own: number, most: number, whose: string) =>
      must(
        own < most,
        'TOO_MANY_REQUESTS',
        `${whose} has ${own} uploads by parts under way, expected fewer than ${most}`,
        { retry_after_seconds: RETRY_AFTER_SECONDS },
      );
    must(all.length < this.#limits.maxParts, 'QUEUE_FULL', 'too many uploads are under way; try again later');
    limit(all.filter(by(held.miner)).length, this.#limits.maxPartsPerMiner, 'this key');
    limit(
      all.filter((one) => one.address === address).length,
      this.#limits.maxPartsPerAddress,
      'this address',
    );
  }

  hold(held: Held, address: string): void {
    this.#parts.set(toHex(held.id), { ...held, address });
  }

  release(id: Uint8Array): void {
    this.#parts.delete(toHex(id));
  }

  #checkPending({ miner }: Held): void {
    const waiting = [...this.#submissions.pending(), ...this.#running];
    const own = waiting.filter(by(miner)).length;
    must(
      waiting.length < this.#limits.maxPending,
      'QUEUE_FULL',
      `${waiting.length} submissions are waiting; try again later`,
    );
    must(
      own < this.#limits.maxPendingPerMiner,
      'TOO_MANY_REQUESTS',
      `this key has ${own} submissions waiting, expected fewer than ${this.#limits.maxPendingPerMiner}`,
      { retry_after_seconds: RETRY_AFTER_SECONDS },
    );
  }

  #checkBytes({ miner, bytes }: Held): void {
    const pending = this.#submissions
      .pending()
      .map(({ miner: whose, tensors }) => ({ miner: whose, bytes: sum(tensors) }));
    const own = sum([...pending, ...this.#running, ...this.#parts.values()].filter(by(miner)));
    const most = this.#limits.maxBytesPerMiner;
    must(
      own + bytes <= most,
      'TOO_MANY_REQUESTS',
      `this key has ${own} bytes waiting or under way; with ${bytes} more it would be over ${most}`,
      { retry_after_seconds: RETRY_AFTER_SECONDS },
    );
  }
}

const by = (miner: Uint8Array) => (one: { miner: Uint8Array }) => equalBytes(one.miner, miner);
const sum = (of: readonly { bytes: number }[]): number => of.reduce((total, { bytes }) => total + bytes, 0);
