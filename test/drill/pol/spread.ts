import { seededUniform } from '#shared/weights/random.ts';
import { readVectors } from '#test/helpers/vectors.ts';

/**
 * Gains of candidates of the development model over its head, in micro-nats, on each of the 265 public windows:
 * measured on running means of the weights, so many training steps apart, at losses of 4.4 (early) and 3.9 (late).
 */
interface Spread {
  readonly from: number;
  readonly to: number;
  readonly gains: readonly number[];
}

const SPREADS = readVectors<readonly Spread[]>('spread');
/** A candidate's deviations belong to gains like its own: scaled further, they would be another candidate's. */
const NEAR = 0.4;

export const uniform = seededUniform(20_260_101);

/** Gains of real candidates near this one, each scaled to have exactly this mean. */
export function candidatesThatGain(mean: number): number[][] {
  return SPREADS.map(({ gains }) => ({ gains, scale: mean / average(gains) }))
    .filter(({ scale }) => Math.abs(scale - 1) <= NEAR)
    .map(({ gains, scale }) => shifted(gains, { scale, mean }));
}

/** The same candidates as if they gained something else, with the deviations that they have. */
export function candidatesAs(like: number, mean: number): number[][] {
  return candidatesThatGain(like).map((gains) => shifted(gains, { scale: 1, mean }));
}

/** Gains on as many windows of a text like the validation set's. */
export function draw(gains: readonly number[], windows: number): number[] {
  return Array.from({ length: windows }, () => gains[Math.floor(uniform() * gains.length)] as number);
}

function shifted(gains: readonly number[], { scale, mean }: { scale: number; mean: number }): number[] {
  const middle = average(gains);
  return gains.map((gain) => Math.round((gain - middle) * scale + mean));
}

const average = (list: readonly number[]): number => list.reduce((sum, x) => sum + x, 0) / list.length;
