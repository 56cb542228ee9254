/** What one check found. A `note` is worth knowing and no reason not to work. */
export interface Finding {
  readonly check: string;
  readonly state: 'fine' | 'note' | 'fault';
  /** In one line, for people. */
  readonly found: string;
  /** What to do about a fault, or to have more of what a note tells of. */
  readonly mend?: string;
}

/** Makes the findings of one check. */
export function findings(check: string) {
  return {
    fine: (found: string): Finding => ({ check, state: 'fine', found }),
    note: (found: string, mend?: string): Finding => ({
      ...{ check, state: 'note', found },
      ...(mend !== undefined && { mend }),
    }),
    fault: (found: string, mend: string): Finding => ({ check, state: 'fault', found, mend }),
  };
}

export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
