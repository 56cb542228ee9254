import type { EpochView } from '#shared/api/epoch-schemas.ts';

/** How a sealed submission stands in its epoch, in words; undefined where no epoch that the page knows has it. */
export function vestingWords(epochs: readonly EpochView[], submission: string): string | undefined {
  for (const { state, seals, submissions } of epochs) {
    const found = submissions.find((one) => one.submission === submission);
    if (!found) continue;
    if (found.held === true) return 'holds on text that nobody had seen: its reward is released';
    if (found.held === false) return 'does not hold on text that nobody had seen: what vests is forfeited';
    if (state === 'open')
      return `a part of it vests until ${seals} are accepted (${submissions.length} so far)`;
    return 'being checked on text that nobody had seen';
  }
  return undefined;
}
