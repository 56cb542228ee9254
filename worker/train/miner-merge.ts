import type { Flight } from '#worker/train/miner-flight.ts';
import type { Head } from '#worker/train/miner-head.ts';

/** Weights on the chain that training is a change of, by tensor. */
export type Base = ReadonlyMap<string, { readonly hash: string; readonly values: Float32Array }>;

export interface Verdict {
  readonly meanGainMicroNats: number;
  readonly passed: boolean;
}

/** Parts of the own change that are tried: two changes that learned the same may reach too far together. */
const SHARES = [1, 0.5] as const;

export interface Merge {
  /** How much of the change the head was given. */
  readonly share: (typeof SHARES)[number];
  /** The gate should pass it. */
  readonly passed: boolean;
}

/**
 * What training is a change of, now that `after` follows `before`: `before`, but for the tensors of an own submission
 * that has become part of the chain. Whoever else changed those since began with ours.
 */
export function baseOf(before: Head, after: Head, own?: Pick<Flight, 'candidate' | 'state'>): Base {
  const base = new Map(
    before.refs.map(({ name, hash }) => [name, { hash, values: valuesOf(before.tensors, name) }]),
  );
  const hashes = new Map(after.refs.map(({ name, hash }) => [name, hash]));
  const accepted = own?.state === 'committed' || own?.state === 'paid';
  for (const { name, hash } of own?.candidate.changed ?? [])
    if (accepted || hashes.get(name) === hash)
      base.set(name, { hash, values: valuesOf(own?.candidate.tensors, name) });
  return base;
}

/** Tensors of the head that others changed. */
export function changedByOthers(head: Head, base: Base): string[] {
  return head.refs.filter(({ name, hash }) => base.get(name)?.hash !== hash).map(({ name }) => name);
}

/**
 * Makes `weights`, which are `base` and a change, the head and that change: as they are where the others changed
 * nothing, and judged otherwise. If they are worse than the head, half of the change is tried. Works in place, since
 * weights may be large; undefined where nothing is gained, and the weights are of no use then.
 */
export async function mergeInto(
  { head, base }: { head: Head; base: Base },
  weights: ReadonlyMap<string, Float32Array>,
  judge: () => Promise<Verdict>,
): Promise<Merge | undefined> {
  for (const name of changedByOthers(head, base))
    move(valuesOf(weights, name), valuesOf(head.tensors, name), base.get(name)?.values);
  for (const share of SHARES) {
    if (share < 1) for (const [name, values] of weights) shorten(values, valuesOf(head.tensors, name), share);
    const { meanGainMicroNats, passed } = await judge();
    if (meanGainMicroNats > 0) return { share, passed };
  }
  return undefined;
}

/** In this order a weight that was not trained becomes exactly the head's. */
function move(values: Float32Array, head: Float32Array, base: Float32Array | undefined): void {
  for (let i = 0; i < values.length; i++)
    values[i] = (head[i] as number) + ((values[i] as number) - (base?.[i] as number));
}

function shorten(values: Float32Array, head: Float32Array, share: number): void {
  for (let i = 0; i < values.length; i++) {
    const from = head[i] as number;
    values[i] = from + share * ((values[i] as number) - from);
  }
}

function valuesOf(tensors: ReadonlyMap<string, Float32Array> | undefined, name: string): Float32Array {
  return tensors?.get(name) as Float32Array;
}
