export interface Schedule {
  /** The highest rate, reached after the warm-up. */
  readonly learningRate: number;
  /** The rate at and after `totalSteps`, as a part of the highest. */
  readonly finalFraction: number;
  readonly warmupSteps: number;
  readonly totalSteps: number;
}

/** Linear warm-up to the full rate, then half a cosine down to its final fraction, where it stays. */
export function learningRateAt(step: number, schedule: Schedule): number {
  const { learningRate, finalFraction, warmupSteps, totalSteps } = schedule;
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps;
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
  const fraction = finalFraction + (1 - finalFraction) * 0.5 * (1 + Math.cos(Math.PI * progress));
  return learningRate * fraction;
}
