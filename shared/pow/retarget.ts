import { must } from '#shared/errors/pool-error.ts';
import { bitsFromTarget, targetFromBits } from '#shared/pow/target.ts';

/** How the target follows the hash rate. All numbers are whole. */
export interface RetargetRule {
  /** Time that the nonce of a block is to take, milliseconds. */
  readonly aimMs: number;
  /** Blocks between two changes, which are measured together. */
  readonly windowBlocks: number;
  /** The target changes by at most this factor at once. */
  readonly clamp: number;
  /** The easiest target, in compact form. */
  readonly easiestBits: number;
}

/** As it stands in a manifest. PROTOCOL §7. */
export interface RetargetFields {
  readonly aim_ms: number;
  readonly window_blocks: number;
  readonly clamp: number;
  readonly easiest_bits: number;
}

/** Undefined where the target stays as it is. */
export function ruleOf({
  retarget,
}: {
  readonly retarget?: RetargetFields | undefined;
}): RetargetRule | undefined {
  if (!retarget) return undefined;
  const { aim_ms: aimMs, window_blocks: windowBlocks, clamp, easiest_bits: easiestBits } = retarget;
  return { aimMs, windowBlocks, clamp, easiestBits };
}

export interface Window {
  /** Height of the newest block, and the `bits` of its header. */
  readonly index: number;
  readonly bits: number;
  /** Time that the nonces of the newest `windowBlocks` blocks took, milliseconds. Below 0 where clocks were set. */
  readonly spentMs: number;
}

/** Above them a rule is a mistake; products of the numbers stay BigInt, so that none of them can wrap. */
const MOST = { aimMs: 2 ** 40, windowBlocks: 1_000_000, clamp: 1_000 } as const;

/** Throws BLOCK_ENCODING unless the rule can be followed. */
export function checkRetargetRule(rule: RetargetRule): void {
  for (const name of ['aimMs', 'windowBlocks', 'clamp'] as const) {
    const [value, least] = [rule[name], name === 'clamp' ? 2 : 1];
    must(
      Number.isInteger(value) && value >= least && value <= MOST[name],
      'BLOCK_ENCODING',
      () => `retarget: expected ${name} from ${least} to ${MOST[name]}, got ${value}`,
    );
  }
  targetFromBits(rule.easiestBits);
}

/**
 * `bits` of the block that follows: those of the newest one, except where its height is a multiple of
 * `windowBlocks`. There the target is multiplied by the time that the window took over the time that it was to
 * take, at most by `clamp` and at least by its inverse, and is rounded down; it is 1 at least, and never easier
 * than `easiestBits`.
 */
export function nextBits(rule: RetargetRule, { index, bits, spentMs }: Window): number {
  if ((index + 1) % rule.windowBlocks !== 0) return bits;
  const clamp = BigInt(rule.clamp);
  const wanted = BigInt(rule.aimMs) * BigInt(rule.windowBlocks);
  const old = targetFromBits(bits);
  const proposed = (old * BigInt(spentMs)) / wanted;
  const target = within(proposed, old / clamp, old * clamp);
  return bitsFromTarget(within(target, 1n, targetFromBits(rule.easiestBits)));
}

function within(value: bigint, least: bigint, most: bigint): bigint {
  if (value < least) return least;
  return value > most ? most : value;
}
