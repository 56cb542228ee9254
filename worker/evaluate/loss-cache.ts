import type { MicroNats } from '#shared/pol/gate.ts';

/** A loss in whole micro-nats; null where it is not finite. */
export type WindowLoss = MicroNats | null;

/** The head, the candidates on it that may become the next one, and the heads just before. */
const MAX_ROOTS = 16;

/**
 * Losses by model root and window. The same weights on the same window have the same loss, so a head is
 * evaluated once, and a candidate that becomes the head is not evaluated again. The oldest root goes first.
 */
export class LossCache {
  readonly #roots = new Map<string, Map<number, WindowLoss>>();

  get(root: string, window: number): WindowLoss | undefined {
    return this.#roots.get(root)?.get(window);
  }

  put(root: string, windows: readonly number[], losses: readonly WindowLoss[]): void {
    const known = this.#roots.get(root) ?? new Map<number, WindowLoss>();
    this.#roots.delete(root);
    this.#roots.set(root, known); // moves to the end: newest
    windows.forEach((window, i) => {
      known.set(window, losses[i] ?? null);
    });
    const oldest = this.#roots.keys().next().value;
    if (this.#roots.size > MAX_ROOTS && oldest !== undefined) this.#roots.delete(oldest);
  }
}
