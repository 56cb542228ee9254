/** Runs pieces of work one after another, in the order of the calls. */
export class Turns {
  #tail: Promise<unknown> = Promise.resolve();

  /** `work` begins at its turn; where the signal is aborted, at once, so it must look at the signal first. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const turn = this.#tail;
    let done = (): void => {};
    const ours = new Promise<void>((resolve) => {
      done = resolve;
    });
    this.#tail = turn.then(() => ours);
    try {
      await unlessAborted(turn, signal);
      return await work();
    } finally {
      done();
    }
  }

  /** Resolves when all work that was asked for before this call has ended. */
  async idle(): Promise<void> {
    await this.#tail;
  }
}

/** Resolves when `turn` does, or earlier on abort. */
function unlessAborted(turn: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', resolve, { once: true });
    void turn.then(() => {
      signal.removeEventListener('abort', resolve);
      resolve(undefined);
    });
  });
}
