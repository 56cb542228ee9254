import type { Figure } from '#test/bench/report.ts';

const HEADINGS = ['metric', 'value', 'anchor', 'ratio', 'goal', ''];
const GREEN = 32;
const RED = 31;

/** Figures → an aligned table, one line each, with the verdict in the last column. */
export function renderTable(figures: readonly Figure[], { colour }: { colour: boolean }): string {
  const rows = figures.map(cells);
  const widths = HEADINGS.map((heading, i) =>
    Math.max(heading.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  const body = rows.map((row, i) => paint(line(row), figures[i] as Figure, colour));
  return `${[line(HEADINGS), line(widths.map((width) => '-'.repeat(width))), ...body].join('\n')}\n`;
}

function cells({ metric, value, unit, anchor, anchorValue, ratio, goal, ok }: Figure): string[] {
  return [
    metric,
    `${showNumber(value)} ${unit}`,
    anchor === null || anchorValue === null ? '' : `${anchor}: ${showNumber(anchorValue)} ${unit}`,
    ratio === null ? '' : `${showNumber(ratio)}x`,
    goal ?? '',
    ok ? (goal === null ? '' : 'ok') : 'MISSED',
  ];
}

function paint(text: string, { goal, ok }: Figure, colour: boolean): string {
  if (!colour || (ok && goal === null)) return text;
  return `\u001b[${ok ? GREEN : RED}m${text}\u001b[0m`;
}

/** Four digits that matter, thousands grouped: 0.0001235, 12.35, 1,234,568. */
export function showNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(4)));
}
