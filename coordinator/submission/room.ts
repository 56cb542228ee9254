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
  /** Bytes that wait or are under way, as their headers say: of everybody and of one key. */
  readonly maxBytes: number;
  readonly maxBytesPerMiner: number;
  /** Bytes under way from one address. */
  readonly maxBytesPerAddress: number;
}

interface Held {
  readonly id: Uint8Array;
  readonly miner: Uint8Array;
  readonly bytes: number;
  /** Where it comes from; empty where another process received it. */
  readonly address: string;
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
  readonly #parts = new Map<string, Held>();

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

  /** Takes a place for an upload by parts until it is released; the same codes. */
  takeParts(held: Held): void {
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
      all.filter((one) => one.address === held.address).length,
      this.#limits.maxPartsPerAddress,
      'this address',
    );
    this.hold(held);
  }

  /** For one that had its place before. */
  hold(held: Held): void {
    this.#parts.set(toHex(held.id), held);
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

  #checkBytes({ miner, bytes, address }: Held): void {
    const underWay = [...this.#running, ...this.#parts.values()];
    const pending = this.#submissions.pending().map((record) => ({
      miner: record.miner,
      bytes: sum(record.tensors),
    }));
    const all = [...pending, ...underWay];
    const { maxBytes, maxBytesPerMiner, maxBytesPerAddress } = this.#limits;
    must(sum(all) + bytes <= maxBytes, 'QUEUE_FULL', 'too many bytes are waiting; try again later');
    const limit = (own: number, most: number, whose: string) =>
      must(
        own + bytes <= most,
        'TOO_MANY_REQUESTS',
        () => `${whose} has ${own} bytes waiting or under way; with ${bytes} more it would be over ${most}`,
        { retry_after_seconds: RETRY_AFTER_SECONDS },
      );
    limit(sum(all.filter(by(miner))), maxBytesPerMiner, 'this key');
    limit(sum(underWay.filter((one) => one.address === address)), maxBytesPerAddress, 'this address');
  }
}

const by = (miner: Uint8Array) => (one: { miner: Uint8Array }) => equalBytes(one.miner, miner);
const sum = (of: readonly { bytes: number }[]): number => of.reduce((total, { bytes }) => total + bytes, 0);
