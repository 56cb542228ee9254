import type { PoolSharesView } from '#shared/api/reward-schemas.ts';

type Window = PoolSharesView['windows'][number];

const KINDS = { evaluation: 'Evaluating', grinding: 'Grinding' } as const;

export const kindName = ({ kind }: Pick<Window, 'kind'>): string => KINDS[kind];

/** Which units share, in words. */
export function windowWords({ scheme, units }: Pick<Window, 'scheme' | 'units'>): string {
  const count = units === 1 ? '1 unit' : `${units.toLocaleString('en')} units`;
  if (units === 0) return 'nobody yet: this part goes to the pool';
  if (scheme === 'solo') return 'one takes all';
  return scheme === 'prop' ? `${count} since the last reward` : `the newest ${count} of work`;
}

/** Part of all credit in percent, with one decimal, rounded down. */
export function percentOf(credit: string, all: string): number {
  const total = BigInt(all);
  return total === 0n ? 0 : Number((BigInt(credit) * 1_000n) / total) / 10;
}
