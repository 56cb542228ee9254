import type { Manifest } from '#shared/block/manifest.ts';

/** Public windows that the gate of the development network draws for each submission, and the least of any other. */
export const GATE_WINDOWS = 128;
/** A validation set has to be this long for a gate to draw more of it. */
const MOST_GATE_WINDOWS = 1_024;
/**
 * Candidates that gain twice as much scatter by 35,000 to 50,000 from window to window, early and late (measured on the
 * development model, whose windows have 128 tokens). 128 windows tell them from δ in 95 of a hundred cases where the
 * deviation is below 2.4 δ. `npm run drill -- pol` has the figures.
 */
const LEAST_DELTA_MICRO_NATS = 24_000;

/**
 * As the model learns the gains that are left become small, and δ with them: a fifth less after ten submissions of all
 * 52 tensors.
 */
export const DEV_GATE: Manifest['gate'] = {
  delta_micro_nats: 32_000,
  z_milli: 3_000,
  windows: GATE_WINDOWS,
  early: early(GATE_WINDOWS),
  decay: { blocks: 520, keep_bp: 8_000, floor_micro_nats: LEAST_DELTA_MICRO_NATS },
};

/**
 * The gate of a model that has been trained, which has no large gains left: δ is where it otherwise ends, and lower
 * where the validation set has more windows, whose mean scatters by the root of their number less.
 */
export function trainedGate(publicWindows: number): Manifest['gate'] {
  let windows = GATE_WINDOWS;
  while (2 * windows <= Math.min(publicWindows, MOST_GATE_WINDOWS)) windows *= 2;
  const delta = Math.ceil(LEAST_DELTA_MICRO_NATS * Math.sqrt(GATE_WINDOWS / windows));
  return { delta_micro_nats: delta, z_milli: 3_000, windows, early: early(windows) };
}

/** Looks at 16, 24, 32, 48, 64 … windows. A gain five standard errors above δ is clear at any of them. */
function early(windows: number): NonNullable<Manifest['gate']['early']> {
  const looks: number[] = [];
  for (let look = 16; look < windows; look *= 2) looks.push(look, (look * 3) / 2);
  return {
    looks: looks.filter((look) => look < windows),
    hopeless_z_milli: 4_000,
    clear_z_milli: 5_000,
  };
}
