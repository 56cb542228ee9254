const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};
const SIZE = /^(\d{1,9}(?:\.\d{1,3})?) ?([a-z]{0,3})$/i;

/** Bytes of a text such as `2GiB`, `1.5 GB` or `500000`, rounded down; `undefined` where it is none. */
export function parseByteSize(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  const unit = UNITS[match?.[2]?.toUpperCase() ?? ''];
  if (!match || unit === undefined) return undefined;
  return Math.floor(Number(match[1]) * unit);
}
