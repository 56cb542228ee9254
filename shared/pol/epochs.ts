import type { Manifest } from '#shared/block/manifest.ts';
import { toHex } from '#shared/crypto/bytes.ts';

/*
 * PROTOCOL §8, epochs: which sealed submissions are held against which held-out shards. It follows from chain B and
 * the Meta blocks that rule it, so whoever has them counts the same.
 */

type Validation = Manifest['validation'];

/** A run of sealed submissions, and the shards that are revealed at its end. */
export interface Epoch {
  /** From 0. */
  readonly number: number;
  /** Root of the held-out part that it reveals from. */
  readonly root: Uint8Array;
  /** Seals that it takes. */
  readonly seals: number;
  readonly firstShard: number;
  readonly shards: number;
}

/** Where counting stands behind a seal. */
export interface EpochCount {
  /** Epochs that have begun. */
  readonly begun: number;
  /** The one that takes the next seal too, and how many it has. */
  readonly open: { readonly epoch: Epoch; readonly taken: number } | null;
  /** Root of a held-out part, hex → how many of its shards epochs were given. */
  readonly given: ReadonlyMap<string, number>;
}

export const NO_EPOCHS: EpochCount = { begun: 0, open: null, given: new Map() };

/** The number of shards of a held-out part: all but the last are full. */
export function heldOutShards({ held_out, shard_windows }: Validation): number {
  return Math.ceil(held_out.windows / shard_windows);
}

/** Held-out windows of an epoch, ascending: all of its shards. */
export function heldOutWindows(epoch: Epoch, { held_out, shard_windows }: Validation): number[] {
  const first = epoch.firstShard * shard_windows;
  const end = Math.min(held_out.windows, first + epoch.shards * shard_windows);
  return Array.from({ length: end - first }, (_, i) => first + i);
}

/** Whether the open epoch takes a seal that this Meta block rules: another `held_out` ends it before. */
export function goesOn({ open }: EpochCount, validation: Validation): boolean {
  const { root, epoch } = validation.held_out;
  return (
    open !== null &&
    epoch !== undefined &&
    toHex(open.epoch.root) === toHex(root) &&
    open.epoch.seals === epoch.seals &&
    // An epoch that got the last shards has fewer than the Meta block asks for.
    open.epoch.shards === shardsFrom(open.epoch.firstShard, validation)
  );
}

/**
 * The next seal of chain B, under the Meta block that rules it: the epoch that it belongs to, `null` where no shard is
 * left or none is ever revealed, and the count behind it.
 */
export function countSeal(
  count: EpochCount,
  validation: Validation,
): { epoch: Epoch | null; count: EpochCount } {
  const before = goesOn(count, validation) ? count : begin(count, validation);
  if (before.open === null) return { epoch: null, count: before };
  const { epoch, taken } = before.open;
  const open = taken + 1 < epoch.seals ? { epoch, taken: taken + 1 } : null;
  return { epoch, count: { ...before, open } };
}

function begin({ begun, given }: EpochCount, validation: Validation): EpochCount {
  const { root, epoch } = validation.held_out;
  const firstShard = given.get(toHex(root)) ?? 0;
  const shards = shardsFrom(firstShard, validation);
  if (epoch === undefined || shards === 0) return { begun, open: null, given };
  return {
    begun: begun + 1,
    open: { epoch: { number: begun, root, seals: epoch.seals, firstShard, shards }, taken: 0 },
    given: new Map(given).set(toHex(root), firstShard + shards),
  };
}

/** As many as the Meta block asks for, or what is left. */
function shardsFrom(first: number, validation: Validation): number {
  const wanted = validation.held_out.epoch?.shards ?? 0;
  return Math.max(0, Math.min(wanted, heldOutShards(validation) - first));
}
