/** Lines of columns as wide as their widest cell; control characters of foreign text do not reach the terminal. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows].map((line) => line.map((cell) => cell.replaceAll(/\p{C}+/gu, ' ')));
  const widths = head.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines
    .map((line) => `${line.map((cell, i) => cell.padEnd(widths[i] as number)).join('  ')}`.trimEnd())
    .map((line) => `${line}\n`)
    .join('');
}

/** `2030-01-31 12:00 UTC`; `never` for 0. */
export function timeText(unixMs: number): string {
  return unixMs === 0 ? 'never' : `${new Date(unixMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
