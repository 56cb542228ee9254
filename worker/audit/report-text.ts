import type { BlockReport } from '#worker/audit/block-audit.ts';
import { describeBlock, nats, oneLine, type Section } from '#worker/audit/describe-block.ts';
import type { Finding } from '#worker/audit/finding.ts';
import type { LossComparison } from '#worker/audit/losses.ts';
import type { PoolReport } from '#worker/audit/pool-audit.ts';
import type { CheckLine } from '#worker/audit/steps.ts';

/** The report of a whole pool, for people. */
export function poolReportText(report: PoolReport): string {
  const { coordinator, network, name, height, root } = report;
  return [
    `${oneLine(name)} at ${coordinator}`,
    ...columns([
      ['network', network],
      ['heads', `A${height.A}, B${height.B}`],
      ['model root', root],
    ]),
    '',
    ...checkLines(report.checks),
    ...lossLines(report.losses),
    '',
    verdict(report.finding, report.ms),
    '',
  ].join('\n');
}

/** The report of one block, for people. */
export function blockReportText(report: BlockReport): string {
  const { block, name, sealed, meta } = report;
  const { chainId, index } = block.header;
  const manifest = chainId === 'A' && meta?.index === index ? meta.manifest : undefined;
  return [
    `Block ${chainId}${index} of ${oneLine(name)} at ${report.coordinator}`,
    ...describeBlock(block, { sealed, manifest }).flatMap(sectionLines),
    '',
    'Checks',
    ...checkLines(report.checks),
    ...lossLines(report.losses ? [report.losses] : []),
    '',
    verdict(report.finding, report.ms),
    '',
  ].join('\n');
}

function sectionLines({ title, rows }: Section): string[] {
  return ['', title, ...columns(rows)];
}

/** Labels and values below each other. */
export function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, value]) => `  ${label.padEnd(width)}  ${value}`);
}

export function checkLines(checks: readonly CheckLine[]): string[] {
  const rows = checks.map(({ what, count, ms, note }) => ({
    what,
    count: count === 0 ? '' : count.toLocaleString('en'),
    time: ms === 0 ? '' : seconds(ms),
    note,
  }));
  const width = (column: 'what' | 'count' | 'time') => Math.max(0, ...rows.map((row) => row[column].length));
  const [what, count, time] = [width('what'), width('count'), width('time')];
  return rows.map((row) =>
    `  ok  ${row.what.padEnd(what)}  ${row.count.padStart(count)}  ${row.time.padStart(time)}  ${row.note}`.trimEnd(),
  );
}

function lossLines(losses: readonly LossComparison[]): string[] {
  return losses.flatMap((loss) => [
    `      B${loss.height}, ${loss.windows} ${windowsOf(loss)}: attested ${meanPair(loss.attestedMicroNats)}, here ${meanPair(loss.foundMicroNats)} nats`,
    `      largest difference in a window ${loss.largestMicroNats} micro-nats, allowed ${loss.toleranceMicroNats}`,
  ]);
}

const windowsOf = ({ epoch }: LossComparison): string =>
  epoch === undefined ? 'windows' : `held-out windows of epoch ${epoch}`;

const meanPair = ({ before, after }: { before: number; after: number }): string =>
  `${nats(before)} → ${nats(after)}`;

export function verdict(finding: Finding | undefined, ms: number, holds = true): string {
  if (finding === undefined && !holds) return `FAILED (${seconds(ms)})`;
  if (finding === undefined) return `Everything checked holds (${seconds(ms)}).`;
  return `FAILED at ${finding.at}: ${finding.code}: ${oneLine(finding.message)} (${seconds(ms)})`;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
