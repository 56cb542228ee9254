import { must } from '#shared/errors/pool-error.ts';
import { MAX_TARGET } from '#shared/pow/target.ts';

/** The header with its nonce in the last eight bytes, big-endian (PROTOCOL: blocks). */
export const HEADER_BYTES = 264;
export const NONCE_OFFSET = 256;
export const NONCE_SPACE: bigint = 1n << 64n;

export interface GrindJob {
  /** 264 bytes; what stands in place of the nonce does not matter. It is copied. */
  readonly header: Uint8Array;
  /** The hash, read big-endian, must not exceed it. */
  readonly target: bigint;
  /** First nonce to try. */
  readonly start: bigint;
  /** How many nonces to try; `start + count` may not exceed 2^64. */
  readonly count: bigint;
}

/** Where easier finds go. */
export interface ShareSink {
  /** Not below the target of the job. */
  readonly target: bigint;
  /** Called once, before the job ends, for every hash computed that meets it, the result's among them; in no order. */
  found(nonce: bigint): void;
}

export interface GrindResult {
  /** The lowest nonce of the range that meets the target; null where there is none, or on abort. */
  readonly nonce: bigint | null;
  /** Hashes computed inside the range. With several threads some lie above the nonce. */
  readonly hashes: bigint;
  /** Wall time, with waiting and pauses. */
  readonly ms: number;
}

/**
 * Seeks nonces. Jobs run one after another in the order of the calls. An abort is no error: the result comes
 * within 100 ms, without a nonce. `pause` (in force until `resume`, across jobs) stops hashing within 100 ms.
 * `close` aborts what runs and can be called twice; after it every job ends at once without a nonce.
 */
export interface Grinder {
  readonly threads: number;
  /** What it takes from everything else on the machine. */
  readonly device: 'cpu' | 'gpu';
  grind(job: GrindJob, signal: AbortSignal, shares?: ShareSink): Promise<GrindResult>;
  pause(): void;
  resume(): void;
  close(): Promise<void>;
}

/** Throws BAD_REQUEST unless the job has the form above. */
export function checkJob({ header, target, start, count }: GrindJob): void {
  must(
    header.length === HEADER_BYTES,
    'BAD_REQUEST',
    () => `header: expected ${HEADER_BYTES} bytes, got ${header.length}`,
  );
  must(
    target >= 0n && target <= MAX_TARGET,
    'BAD_REQUEST',
    () => `target: expected 0 to 2^256-1, got ${target}`,
  );
  must(
    start >= 0n && count >= 0n && start + count <= NONCE_SPACE,
    'BAD_REQUEST',
    () => `nonces: expected a range within 64 bits, got ${count} from ${start}`,
  );
}
