import { DEFAULT_VARDIFF, type VardiffRule } from '#shared/pow/vardiff.ts';

export interface MiningOptions {
  /** How hard the shares of each worker are. */
  readonly vardiff: VardiffRule;
  /** A header that is not solved by then is made again with a new time. */
  readonly templateMs: number;
  /** An idle pool measures each worker so often, by a range of about a second that nobody is paid for; 0: never. */
  readonly probeMs: number;
}

/** A timestamp stays within minutes of the time at which its block is found. */
export const MINING_DEFAULTS: MiningOptions = {
  vardiff: DEFAULT_VARDIFF,
  templateMs: 120_000,
  probeMs: 60_000,
};
