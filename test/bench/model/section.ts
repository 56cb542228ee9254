import type { Measurement } from '#test/bench/report.ts';

export interface Bench {
  /** The compute backend that was asked for. */
  readonly backend: string;
  /** Adds a row to the table. */
  row(measured: Omit<Measurement, 'name'>): void;
}

/** A file of this folder that exports `rows` is a section, chosen by its name: `--only decoding`. */
export interface Section {
  rows(bench: Bench): Promise<void>;
}
