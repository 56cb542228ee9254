import { must } from '#shared/errors/pool-error.ts';

export interface ByteRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  readonly partial: boolean;
}

/** One byte range of RFC 9110 §14; several at once are answered with the whole, as the RFC allows. */
export function parseRange(header: string | undefined, size: number): ByteRange {
  const whole = { start: 0, end: size, partial: false };
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return whole;
  const [, first = '', last = ''] = match;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  must(
    start < end && start < size,
    'RANGE_NOT_SATISFIABLE',
    `expected a range inside ${size} bytes, got ${header}`,
  );
  return { start, end, partial: true };
}
