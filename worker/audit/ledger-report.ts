import { formatAmount } from '#shared/money.ts';
import { oneLine } from '#worker/audit/describe-block.ts';
import type { RewardDifference } from '#worker/audit/differences.ts';
import type { LedgerReport } from '#worker/audit/ledger-audit.ts';
import { checkLines, columns, verdict } from '#worker/audit/report-text.ts';

/** The report of a ledger, for people. */
export function ledgerReportText(report: LedgerReport): string {
  const { coordinator, network, name, height, rewards, mintedUnits, differences, finding } = report;
  return [
    `Rewards of ${oneLine(name)} at ${coordinator}`,
    ...columns([
      ['network', network],
      ['heads', `A${height.A}, B${height.B}`],
      ['rewards', `${rewards}, ${formatAmount(mintedUnits)} tokens in all`],
    ]),
    '',
    ...checkLines(report.checks),
    '',
    ...(finding === undefined ? differenceLines(differences) : []),
    verdict(finding, report.ms, differences.length === 0),
    '',
  ].join('\n');
}

function differenceLines(differences: readonly RewardDifference[]): string[] {
  if (differences.length === 0) return ['Differences: none.'];
  return [`Differences: ${differences.length}`, ...differences.map(differenceLine), ''];
}

/** `B17  reward-grinder to 0x…  expected 750000000, found 750000001 base units; the seal fixed what is expected`. */
function differenceLine({
  height,
  kind,
  from,
  to,
  expected,
  found,
  sealFixedExpected,
}: RewardDifference): string {
  const sides = [from === null ? '' : ` from ${from}`, to === null ? '' : ` to ${to}`].join('');
  const seal = sealFixedExpected ? 'the seal fixed what is expected' : 'the seal fixed something else';
  return `  B${height}  ${kind}${sides}  expected ${expected}, found ${found} base units; ${seal}`;
}

/** The report as one JSON object; amounts are decimal text. */
export function ledgerReportJson({ finding, differences, mintedUnits, ...report }: LedgerReport): object {
  return {
    ok: finding === undefined && differences.length === 0,
    ...report,
    minted_units: mintedUnits.toString(),
    differences: differences.map(({ expected, found, sealFixedExpected, ...difference }) => ({
      ...{ ...difference, expected: expected.toString(), found: found.toString() },
      seal_fixed_expected: sealFixedExpected,
    })),
    finding: finding ?? null,
  };
}
