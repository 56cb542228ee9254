import type { Holding } from '#shared/reward/unit-window.ts';

/** Units of work and their credit. */
export type Held = Pick<Holding, 'units' | 'credit'>;

/** What all of them hold. */
export function totalOf(holdings: readonly Held[]): Held {
  return holdings.reduce(
    (sum, { units, credit }) => ({ units: sum.units + units, credit: sum.credit + credit }),
    {
      units: 0,
      credit: 0n,
    },
  );
}

/** The holdings of each address put together, in the order in which a reward is split over them. */
export function byAddress(holdings: readonly Holding[]): (Held & { readonly address: string })[] {
  const sums = new Map<string, Held>();
  for (const { address, ...held } of holdings)
    sums.set(address, totalOf([sums.get(address) ?? { units: 0, credit: 0n }, held]));
  return [...sums]
    .map(([address, held]) => ({ address, ...held }))
    .sort((a, b) => (a.address < b.address ? -1 : 1));
}
