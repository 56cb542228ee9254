import { must } from '#shared/errors/pool-error.ts';

/** Base units of one token: 10⁸. All amounts are BigInt base units. */
export const UNIT = 100_000_000n;
export const BASIS_POINTS = 10_000n;

/** Base units → decimal tokens without trailing zeros, for people to read. */
export function formatAmount(units: bigint): string {
  const sign = units < 0n ? '-' : '';
  const abs = units < 0n ? -units : units;
  const fraction = (abs % UNIT).toString().padStart(8, '0').replace(/0+$/, '');
  return `${sign}${abs / UNIT}${fraction ? `.${fraction}` : ''}`;
}

/** Decimal tokens with up to eight places → base units; AMOUNT for every other text. */
export function parseAmount(text: string): bigint {
  const match = /^(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,8}))?$/.exec(text);
  must(
    match,
    'AMOUNT',
    () => `expected tokens as plain digits with up to 8 places, got ${JSON.stringify(text.slice(0, 40))}`,
  );
  const [, whole = '0', fraction = ''] = match;
  return BigInt(whole) * UNIT + BigInt(fraction.padEnd(8, '0'));
}

/**
 * Splits `amount` by `weights` with the cumulative floor r_i = ⌊W_i·R/W⌋ − ⌊W_{i−1}·R/W⌋: every part is within one
 * unit of its exact share and the parts sum to `amount`, to the last unit. PROTOCOL §10.
 */
export function splitAmount(amount: bigint, weights: readonly bigint[]): bigint[] {
  must(
    amount >= 0n && weights.every((w) => w >= 0n),
    'AMOUNT',
    'expected an amount and weights of zero or more',
  );
  const total = weights.reduce((sum, w) => sum + w, 0n);
  must(total > 0n, 'AMOUNT', 'expected at least one weight above zero');
  let cumulated = 0n;
  let before = 0n;
  return weights.map((weight) => {
    cumulated += weight;
    const upTo = (cumulated * amount) / total;
    const part = upTo - before;
    before = upTo;
    return part;
  });
}
