export interface FingerprintCell {
  readonly key: number;
  readonly row: number;
  readonly column: number;
  /** Opacity: 0.06 for digit 0, 1 for digit f. */
  readonly weight: number;
}

const COLUMNS = 8;
const FAINTEST = 0.06;

/** The 64 hex digits of a 32-byte hash as an 8 × 8 matrix; empty for anything else. */
export function fingerprintCells(hash: string): FingerprintCell[] {
  if (!/^[0-9a-f]{64}$/.test(hash)) return [];
  return Array.from(hash, (digit, key) => ({
    key,
    row: Math.floor(key / COLUMNS),
    column: key % COLUMNS,
    weight: FAINTEST + ((1 - FAINTEST) * Number.parseInt(digit, 16)) / 15,
  }));
}
