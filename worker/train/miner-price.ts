import type { Manifest } from '#shared/block/manifest.ts';
import { gateRule } from '#shared/pol/rule.ts';
import { lastLook, type SequentialRule } from '#shared/pol/sequential.ts';

/** What is known of a candidate's gain over the windows, micro-nats. */
export interface Spread {
  readonly mean: number;
  /** From window to window. */
  readonly deviation: number;
}

/** Standard errors that a look should find above its line: else one in two goes on to the next. */
const SLACK = 0.7;

/** What measuring the head now and then adds to judging. */
const HEADS = 1.25;

/**
 * Tokens that the pool's workers will put through the model for a candidate that is accepted: each of the quorum
 * evaluates it and the head on the windows up to the first look that should be clear, and later on those of its epoch,
 * where the head was evaluated as the candidate before.
 */
export function priceOf(
  spread: Spread,
  { manifest, height }: { readonly manifest: Manifest; readonly height: number },
): number {
  const { validation, quorum } = manifest;
  const judged = 2 * expectedWindows(spread, gateRule(manifest, height));
  const heldOut = (validation.held_out.epoch?.shards ?? 0) * validation.shard_windows;
  return Math.round(quorum.attestations * validation.context * (HEADS * judged + heldOut));
}

function expectedWindows({ mean, deviation }: Spread, rule: SequentialRule): number {
  const { deltaMicroNats, zMilli, clearZMilli, looks } = rule;
  const all = lastLook(rule);
  const isClear = (windows: number) => {
    const rise = (windows * (mean - deltaMicroNats)) / Math.max(1, deviation);
    const early = clearZMilli !== undefined && rise / Math.sqrt(windows) >= clearZMilli / 1_000 + SLACK;
    return early || (2 * windows >= all && rise / Math.sqrt(all) >= zMilli / 1_000 + SLACK);
  };
  return looks.find(isClear) ?? all;
}
