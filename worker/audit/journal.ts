import type { JournalAudit } from '#shared/block/audit-journal.ts';
import type { RewardAudit } from '#shared/block/audit-rewards.ts';
import type { VestingAudit } from '#shared/block/audit-vesting.ts';
import type { JournalEntry } from '#shared/block/journal.ts';
import { must } from '#shared/errors/pool-error.ts';
import { at } from '#worker/audit/finding.ts';
import { eachOf } from '#worker/audit/some.ts';
import type { AuditSource } from '#worker/audit/source.ts';

export interface JournalRun {
  readonly journal: JournalAudit;
  readonly rewards: RewardAudit;
  readonly vesting: VestingAudit;
  /** Entries that stood when the chain was read; what came later may pay for newer blocks. */
  readonly until: number;
  /** Told of each entry, in order. */
  entry(entry: JournalEntry): void;
  done(entries: number): void;
}

/** Replays the journal to where it ends now. JOURNAL where an entry, the head or a total is wrong. */
export async function replayJournal(source: AuditSource, run: JournalRun): Promise<void> {
  const { journal, rewards, vesting, until } = run;
  at('journal entry 0', () => rewards.place(journal.journal));
  await readOn(source, journal, (append) => {
    const { seq } = journal.journal;
    at(`journal entry ${seq}`, () => {
      const entry = append();
      vesting.entry(entry, seq >= until);
      run.entry(entry);
      if (seq >= until) return;
      rewards.entry(entry);
      rewards.place(journal.journal);
    });
    run.done(seq + 1);
  });
}

/** Page after page to the end, where head and totals must be those of the replay. */
async function readOn(
  source: AuditSource,
  journal: JournalAudit,
  next: (append: () => ReturnType<JournalAudit['append']>) => void,
): Promise<void> {
  for (;;) {
    const from = journal.journal.seq;
    const page = await source.journal(from);
    // An entry may be on disk a moment before the head tells of it.
    const told = Math.max(0, page.journal.seq - from);
    for (const bytes of page.entries.slice(0, told)) next(() => journal.append(bytes));
    const { seq } = journal.journal;
    if (seq >= page.journal.seq) {
      at('GET /journal', () => journal.checkAgainst(page));
      return;
    }
    at(`journal entry ${seq}`, () =>
      must(seq > from, 'JOURNAL', `the pool says there are ${page.journal.seq} entries, this one is missing`),
    );
  }
}

/** Asks again while the journal goes on: an address may be paid between its entries and its balance. */
const MOST_ATTEMPTS = 20;

/** Holds `GET /balance` of every address against the replay. Returns how many addresses. */
export async function checkBalances(
  source: AuditSource,
  run: { journal: JournalAudit; atOnce: number; done: (addresses: number) => void },
): Promise<number> {
  const { journal } = run;
  const addresses = [...journal.balances.keys()];
  let count = 0;
  let catchingUp = Promise.resolve();
  const catchUp = () => {
    catchingUp = catchingUp.then(() =>
      readOn(source, journal, (append) => at(`journal entry ${journal.journal.seq}`, append)),
    );
    return catchingUp;
  };
  await eachOf(addresses, run.atOnce, async (address) => {
    for (let attempt = 1; ; attempt++) {
      const before = journal.journal.seq;
      const told = await source.balance(address);
      if (told === journal.balances.get(address)) break;
      await catchUp();
      if (told === journal.balances.get(address)) break;
      const still = journal.journal.seq === before || attempt === MOST_ATTEMPTS;
      at(`balance of ${address}`, () =>
        must(
          !still,
          'JOURNAL',
          () => `the entries give ${journal.balances.get(address)}, the pool says ${told}`,
        ),
      );
    }
    run.done(++count);
  });
  return count;
}
