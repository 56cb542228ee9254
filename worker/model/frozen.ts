import type { Tensor } from '@tensorflow/tfjs';

const frozen = new WeakSet<Tensor>();

/** Says of a weight that no gradient of it will be asked for, so that none is computed. */
export function freeze(weight: Tensor): void {
  frozen.add(weight);
}

export function isFrozen(weight: Tensor | null): boolean {
  return weight !== null && frozen.has(weight);
}
