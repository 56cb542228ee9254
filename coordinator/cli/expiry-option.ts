import { InvalidArgumentError } from 'commander';

const MS = { m: 60_000, h: 3_600_000, d: 24 * 3_600_000 } as const;

/** Parser of `--expires`: `30m`, `12h`, `7d`, or a date such as 2030-01-31 → Unix milliseconds. */
export function expiryOption(now: () => number) {
  return (text: string): number => {
    const [, count, unit] = /^([1-9][0-9]{0,5})([mhd])$/.exec(text) ?? [];
    if (unit !== undefined) return now() + Number(count) * MS[unit as keyof typeof MS];
    const at = /^[0-9]{4}-[0-9]{2}-[0-9]{2}/.test(text) ? Date.parse(text) : Number.NaN;
    if (!Number.isFinite(at))
      throw new InvalidArgumentError('expected 30m, 12h, 7d, or a date such as 2030-01-31.');
    return at;
  };
}
