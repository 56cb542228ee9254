import type { EntryView } from '#shared/api/account-schemas.ts';
import type { EntryKind } from '#shared/block/journal.ts';
import { shorten } from './format.ts';

/** What an entry is for the account that is credited, and for the one that is debited. */
const WORDS = {
  'reward-submitter': ['Reward for better weights', ''],
  'reward-evaluator': ['Reward for evaluating', ''],
  'reward-grinder': ['Reward for grinding', ''],
  'reward-pool': ['The pool’s part of a reward', ''],
  vest: ['Set aside until the re-check', 'Set aside until the re-check'],
  release: ['Released after the re-check', 'Released after the re-check'],
  forfeit: ['Forfeited at the re-check', 'Forfeited at the re-check'],
  payout: ['Paid out', 'Paid out'],
  transfer: ['From', 'To'],
  'chat-reserve': ['Reserved for a chat', 'Reserved for a chat'],
  'chat-settle': ['Fee of a chat', 'Fee of a chat'],
  'chat-refund': ['Back from a chat', 'Back from a chat'],
  fee: ['Fee for answering', 'Fee'],
  royalty: ['Royalty for weights in use', 'Royalty'],
  burn: ['', 'Burned'],
  adjustment: ['Given by the operator', 'Given by the operator'],
} as const satisfies Record<EntryKind, readonly [string, string]>;

export interface EntryLine {
  readonly seq: number;
  readonly at: number;
  readonly words: string;
  /** The whole address behind what `words` shortens. */
  readonly other: string | null;
  /** Base units with their sign. */
  readonly units: string;
  readonly isIncome: boolean;
}

/** An entry as the account at `address` sees it. */
export function entryLine(entry: EntryView, address: string): EntryLine {
  const isIncome = entry.to === address;
  const known = (WORDS as Record<string, readonly [string, string]>)[entry.kind];
  const what = known?.[isIncome ? 0 : 1] ?? entry.kind;
  const other = isIncome ? entry.from : entry.to;
  const named = entry.kind === 'transfer' && other !== null ? `${what} ${shorten(other)}` : what;
  return {
    seq: entry.seq,
    at: entry.at,
    words: entry.reason === undefined ? named : `${named}: ${entry.reason}`,
    other,
    units: isIncome ? entry.amount : `-${entry.amount}`,
    isIncome,
  };
}
