import { formatAmount } from '#shared/money.ts';

/** Numbers, sizes, rates and times as people read them. A missing or non-finite number is shown as a dash. */

export const MISSING = '–';
const SHOWN_FRACTION_DIGITS = 4;

const wholes = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function formatCount(value: number): string {
  return Number.isFinite(value) ? wholes.format(value) : MISSING;
}

/** `1 block`, `28 blocks`. */
export function formatPlural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

export function formatLoss(nats: number | null | undefined): string {
  return typeof nats === 'number' && Number.isFinite(nats) ? nats.toFixed(3) : MISSING;
}

/** e^loss: the number of tokens, all equally likely, that would leave the model as unsure as it is. */
export function formatPerplexity(nats: number): string {
  const perplexity = Math.exp(nats);
  if (!Number.isFinite(perplexity)) return MISSING;
  return perplexity < 10 ? perplexity.toFixed(1) : formatCount(perplexity);
}

/** Three significant digits with a decimal prefix: `1.24 M`. Values below 1000 stay as they are. */
export function formatScaled(value: number, unit: string): string {
  if (!Number.isFinite(value)) return MISSING;
  const prefixes = ['', 'k', 'M', 'G', 'T', 'P'];
  let scaled = value;
  let step = 0;
  while (Math.abs(scaled) >= 999.5 && step < prefixes.length - 1) {
    scaled /= 1000;
    step++;
  }
  const digits =
    step === 0 && Number.isInteger(scaled) ? 0 : Math.abs(scaled) >= 100 ? 0 : Math.abs(scaled) >= 10 ? 1 : 2;
  return `${scaled.toFixed(digits)} ${prefixes[step]}${unit}`.trim();
}

export function formatBytes(bytes: number): string {
  return formatScaled(bytes, 'B');
}

/** Whole numbers up to the millions: rates of tokens are small enough to be read in full. */
export function formatTokenRate(perSecond: number): string {
  return perSecond < 1_000_000 ? `${formatCount(perSecond)} tokens/s` : formatScaled(perSecond, ' tokens/s');
}

export function formatHashRate(perSecond: number): string {
  return formatScaled(perSecond, 'H/s');
}

/** Base units as decimal text → tokens with at most four decimals, rounded down: nobody is shown more than they have. */
export function formatTokens(baseUnits: string): string {
  if (!/^-?[0-9]+$/.test(baseUnits)) return MISSING;
  const [whole = '0', fraction = ''] = formatAmount(BigInt(baseUnits)).split('.');
  const sign = whole.startsWith('-') ? '-' : '';
  const grouped = wholes.format(BigInt(whole.replace('-', '')));
  const shown = fraction.slice(0, SHOWN_FRACTION_DIGITS).replace(/0+$/, '');
  return `${sign}${grouped}${shown ? `.${shown}` : ''}`;
}

/** First and last characters of a hash or address. */
export function shorten(text: string, head = 6, tail = 4): string {
  return text.length <= head + tail + 1 ? text : `${text.slice(0, head)}…${text.slice(-tail)}`;
}

const STEPS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
] as const;
/** Below this an event counts as now: clocks of two machines never agree to the second. */
const JUST_NOW_MS = 2_000;

/** Older than this, the date says more than a number of days. */
const DATED_MS = 30 * 86_400_000;
const dates = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' });

/** How long ago, in its largest unit; the date of what is long past. A time in the future is a clock that differs, and counts as now. */
export function formatAgo(atMs: number, nowMs: number): string {
  const passed = nowMs - atMs;
  if (!Number.isFinite(passed)) return MISSING;
  if (passed < JUST_NOW_MS) return 'just now';
  if (passed > DATED_MS) return dates.format(atMs);
  const [size, unit] = STEPS.find(([ms]) => passed >= ms) ?? [1_000, 's'];
  return `${Math.floor(passed / size)} ${unit} ago`;
}

/** `0.8 s`, `12 s`, `3 min`. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return MISSING;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms < 120_000 ? `${Math.round(ms / 1_000)} s` : `${Math.round(ms / 60_000)} min`;
}

/** `[512, 128]` → `512 × 128`. */
export function formatShape(shape: readonly number[]): string {
  return shape.length === 0 ? 'scalar' : shape.join(' × ');
}
