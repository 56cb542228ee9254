import { sha256 } from '@noble/hashes/sha2.js';
import { encodeCbor } from '#shared/block/cbor.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { equalBytes, isZero, ZERO_32 } from '#shared/crypto/bytes.ts';
import { nextBits, ruleOf } from '#shared/pow/retarget.ts';

type Pow = Manifest['pow'];

/** How hard the next Parameter block is, and what was measured since that last changed. PROTOCOL §5. */
export interface PowState {
  /** SHA-256 of the CBOR of the manifest's `pow` that it follows; zero32 before the first block that has one. */
  readonly rule: Uint8Array;
  readonly bits: number;
  /** Blocks whose time was measured since the last change, and their time. */
  readonly blocks: number;
  readonly spentMs: number;
}

export const NO_POW: PowState = { rule: ZERO_32, bits: 0, blocks: 0, spentMs: 0 };

/** The state under this rule: it goes on where the rule is the one it had, and begins with the rule's `bits` else. */
export function powUnder(pow: Pow, state: PowState): PowState {
  const rule = sha256(encodeCbor(pow));
  return equalBytes(rule, state.rule) ? state : { rule, bits: pow.bits, blocks: 0, spentMs: 0 };
}

/** A Parameter block as the rule sees it. */
export interface TimedPart {
  /** Zero in genesis, which stands on signatures. */
  readonly submission: Uint8Array;
  readonly part: number;
  /** Time since the block before it, milliseconds. */
  readonly passedMs: number;
}

/**
 * The state after a block. Its time is measured from the block before it, whose nonce was sought meanwhile, where
 * both are parts of one submission: between two submissions nobody may have sought any.
 */
export function powAfter(pow: Pow, before: PowState, { submission, part, passedMs }: TimedPart): PowState {
  if (isZero(submission)) return before;
  const state = powUnder(pow, before);
  const rule = ruleOf(pow);
  if (!rule || part === 0) return state;
  const blocks = state.blocks + 1;
  const spentMs = state.spentMs + passedMs;
  if (blocks < rule.windowBlocks) return { ...state, blocks, spentMs };
  const bits = nextBits(rule, { index: rule.windowBlocks - 1, bits: state.bits, spentMs });
  return { ...state, bits, blocks: 0, spentMs: 0 };
}
