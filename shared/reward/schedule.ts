import type { Manifest } from '#shared/block/manifest.ts';
import { BASIS_POINTS } from '#shared/money.ts';

/** What the size of a reward follows from, besides the Meta block. All of it stands on chain and in the journal. */
export interface RewardFacts {
  /** Submissions that the chain sealed before this one. */
  readonly sealed: number;
  /** Σ(base − candidate) over the windows of the certificate's first attestation, and how many they are. */
  readonly gain: { readonly sumMicroNats: bigint; readonly windows: number };
  /** Base units that rewards minted so far, less what was minted because it had been forfeited. */
  readonly issued: bigint;
  /** Base units forfeited since the reward before. */
  readonly forfeited: bigint;
}

/** A reward, and each step to it: anybody can compute it again. */
export interface RewardTerms {
  readonly halvings: number;
  /** The Meta block's units after the halvings. */
  readonly halvedUnits: bigint;
  /** What the gain makes of them: 10,000 for the usual gain. */
  readonly gainBp: bigint;
  /** What is missing to the supply, or null where there is no cap. */
  readonly missingUnits: bigint | null;
  readonly forfeitedUnits: bigint;
  /** What is minted and split. */
  readonly units: bigint;
}

/**
 * PROTOCOL §10: R = min(⌊U·g / 10,000⌋, what is missing to the supply) + what was forfeited, where U are the units
 * halved for every `halving_seals` submissions, and g the gain against the usual one in basis points, within bounds.
 */
export function rewardTerms({ units, schedule }: Manifest['reward'], facts: RewardFacts): RewardTerms {
  const { halving_seals, supply_units } = schedule ?? {};
  const halvings = halving_seals === undefined ? 0 : Math.floor(facts.sealed / halving_seals);
  const halvedUnits = units >> BigInt(halvings);
  const gainBp = schedule === undefined ? BASIS_POINTS : boundedGain(schedule, facts.gain);
  const missingUnits = supply_units === undefined ? null : atLeast(supply_units - facts.issued, 0n);
  const byGain = (halvedUnits * gainBp) / BASIS_POINTS;
  const fresh = missingUnits === null ? byGain : atMost(byGain, missingUnits);
  const { forfeited: forfeitedUnits } = facts;
  return { halvings, halvedUnits, gainBp, missingUnits, forfeitedUnits, units: fresh + forfeitedUnits };
}

function boundedGain(
  { gain_micro_nats, least_bp, most_bp }: NonNullable<Manifest['reward']['schedule']>,
  { sumMicroNats, windows }: RewardFacts['gain'],
): bigint {
  const usual = BigInt(windows) * BigInt(gain_micro_nats);
  // A division rounds towards zero; what is below zero is below `least_bp` either way.
  return atMost(atLeast((sumMicroNats * BASIS_POINTS) / usual, BigInt(least_bp)), BigInt(most_bp));
}

/** The gain that an attestation tells of. */
export function gainOf(attestation: {
  readonly base: readonly number[];
  readonly candidate: readonly number[];
}): RewardFacts['gain'] {
  const { base, candidate } = attestation;
  const sumMicroNats = base.reduce((sum, loss, i) => sum + BigInt(loss) - BigInt(candidate[i] as number), 0n);
  return { sumMicroNats, windows: base.length };
}

const atLeast = (value: bigint, least: bigint): bigint => (value < least ? least : value);
const atMost = (value: bigint, most: bigint): bigint => (value > most ? most : value);
