import type { Grinder } from '#worker/mine/grinder.ts';

/** One core for the computation and one for a miner that trains beside it. */
const OTHER_CORES = 2;
/** A queue full of evaluations must not keep a block from being mined: so often it may hash meanwhile, for so long. */
const TURN_EVERY_MS = 5_000;
const TURN_MS = 150;

/**
 * Hashing threads to start where nobody says how many: all cores but the two that compute and train, and
 * at least one.
 */
export function defaultThreads(cores: number): number {
  return Math.max(1, cores - OTHER_CORES);
}

/**
 * Who goes first. The rule: hashing pauses while an evaluation or an answer is computed, but for short turns, unless
 * it hashes on the processor and the machine has a core for each hashing thread, one for the computation and one for
 * a miner. On two cores it pauses; with the default number of threads, on three or more it never does.
 */
export class Courtesy {
  readonly #grinder: Pick<Grinder, 'threads' | 'device' | 'pause' | 'resume'> | undefined;
  #computing = 0;
  #turns: NodeJS.Timeout | undefined;

  /** Without a grinder there is nothing to pause. */
  constructor(grinder: Pick<Grinder, 'threads' | 'device' | 'pause' | 'resume'> | undefined, cores: number) {
    const crowded = grinder && (grinder.device === 'gpu' || grinder.threads + OTHER_CORES > cores);
    this.#grinder = crowded ? grinder : undefined;
  }

  /** Runs `compute` with hashing paused where the rule says so. */
  async during<T>(compute: () => Promise<T>): Promise<T> {
    this.#begin();
    try {
      return await compute();
    } finally {
      this.#end();
    }
  }

  #begin(): void {
    this.#computing += 1;
    if (this.#computing === 1) this.#pause();
  }

  #pause(): void {
    this.#grinder?.pause();
    this.#turns = setTimeout(() => this.#takeTurn(), TURN_EVERY_MS).unref();
  }

  #takeTurn(): void {
    this.#grinder?.resume();
    this.#turns = setTimeout(() => this.#pause(), TURN_MS).unref();
  }

  #end(): void {
    this.#computing -= 1;
    if (this.#computing > 0) return;
    clearTimeout(this.#turns);
    this.#grinder?.resume();
  }
}
