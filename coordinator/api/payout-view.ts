import { heldView } from '#coordinator/api/shares-view.ts';
import type { Chain } from '#coordinator/chain/chain.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import type { WorkUnits } from '#coordinator/ledger/work-units.ts';
import type { Submissions } from '#coordinator/store/submissions.ts';
import { WriteLock } from '#coordinator/store/write-lock.ts';
import type { PayoutView, SharesQuery } from '#shared/api/reward-schemas.ts';
import { type Attestation, decodeParameterBody, type Seal } from '#shared/block/body.ts';
import { decodeEntry, isSealed, type JournalEntry, mints, rewardsHash } from '#shared/block/journal.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import { decodeUnit, type WorkKind } from '#shared/block/work-log.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { BASIS_POINTS, splitAmount } from '#shared/money.ts';
import { byAddress, totalOf } from '#shared/reward/holdings.ts';
import { accruedAccount } from '#shared/reward/keyless-account.ts';
import { splitByKind } from '#shared/reward/reward-moves.ts';
import { gainOf, rewardTerms } from '#shared/reward/schedule.ts';
import { type Holding, UnitWindow, windowSpan } from '#shared/reward/unit-window.ts';

export interface PayoutParts {
  readonly chain: Chain;
  readonly ledger: Ledger;
  readonly units: WorkUnits;
  readonly submissions: Pick<Submissions, 'get'>;
}

/** A sealed submission with all that its reward follows from. */
interface Sealed {
  readonly submission: Uint8Array;
  readonly height: number;
  readonly seal: Seal;
  readonly before: Seal;
  readonly sealedBefore: number;
  readonly meta: MetaBlock;
  readonly entries: readonly JournalEntry[];
}

/** Entries, or units, that are read at once. */
const PAGE = 1_000;

/**
 * Why a submission's reward was paid as it was; undefined where none is sealed under this id. One at a time, since a
 * window may have many units to read.
 */
export function payoutViewer(
  parts: PayoutParts,
): (submission: Uint8Array, query: SharesQuery) => Promise<PayoutView | undefined> {
  const turns = new WriteLock();
  return (submission, query) =>
    turns.run(async () => {
      const sealed = await findSealed(parts, submission);
      return sealed && payoutView(parts, sealed, query);
    });
}

async function payoutView(parts: PayoutParts, sealed: Sealed, query: SharesQuery): Promise<PayoutView> {
  const { height, meta, entries } = sealed;
  const { reward } = meta.manifest;
  const minted = entries.reduce((sum, { kind, amount }) => (mints(kind) ? sum + amount : sum), 0n);
  const split = splitByKind(minted, reward.split_bp);
  const { submitter, evaluators, grinders, pool } = reward.split_bp;
  const slice = (kind: string, bp: number, amount: bigint) => ({ kind, bp, amount: amount.toString() });
  return {
    submission: toHex(sealed.submission),
    height,
    meta: { index: meta.index, hash: toHex(meta.hash) },
    terms: await termsView(parts, sealed, minted),
    split: [
      slice('reward-submitter', submitter, split.submitter),
      slice('reward-evaluator', evaluators, split.evaluators),
      slice('reward-grinder', grinders, split.grinders),
      slice('reward-pool', pool, split.pool),
    ],
    windows: [
      await windowView(parts, sealed, { kind: 'evaluation', amount: split.evaluators, query }),
      await windowView(parts, sealed, { kind: 'grinding', amount: split.grinders, query }),
    ],
    vesting_bp: reward.vesting_bp,
    min_payout: reward.min_payout_units?.toString() ?? null,
    entries: entries.map(({ seq, kind, from, to, amount }) => ({
      ...{ seq, kind, from, to, amount: amount.toString() },
    })),
  };
}

async function findSealed(parts: PayoutParts, submission: Uint8Array): Promise<Sealed | undefined> {
  const { chain, submissions } = parts;
  const { blocks } = (await submissions.get(submission)) ?? {};
  if (!blocks) return undefined;
  const last = await chain.block('B', blocks.last);
  const seal = last && decodeParameterBody(last.body).seal;
  const before = await sealAt(chain, blocks.first - 1);
  if (!last || !seal || !before) return undefined;
  return {
    ...{ submission, height: blocks.last, seal, before },
    sealedBefore: await chain.sealedBelow(blocks.first),
    meta: await chain.metaOf(last.header.pointsTo),
    entries: await entriesOf(parts, submission, seal),
  };
}

async function sealAt(chain: Chain, height: number): Promise<Seal | undefined> {
  const block = await chain.block('B', height);
  return block && decodeParameterBody(block.body).seal;
}

/** The entries of its reward: they stand together, somewhere behind the journal that the seal names. */
async function entriesOf(
  { chain, ledger }: PayoutParts,
  submission: Uint8Array,
  { journal, rewards }: Seal,
): Promise<JournalEntry[]> {
  const found: JournalEntry[] = [];
  if (equalBytes(rewards, rewardsHash(chain.networkId, []))) return found; // nothing was left to pay
  for (let from = journal.seq; ; from += PAGE) {
    const page = await ledger.entries(from, PAGE);
    for (const entry of page.map(decodeEntry)) {
      if (isSealed(entry.kind) && equalBytes(entry.ref, submission)) found.push(entry);
      else if (found.length > 0) return found;
    }
    if (page.length < PAGE) return found;
  }
}

async function termsView(
  { ledger }: PayoutParts,
  { seal, before, sealedBefore, meta }: Sealed,
  minted: bigint,
): Promise<PayoutView['terms']> {
  const { reward } = meta.manifest;
  const gain = gainOf(seal.certificate?.attestations[0] as Attestation);
  const forfeited = await ledger.forfeitedBetween(before.journal.seq, seal.journal.seq);
  // What was issued is not asked for: what the cap of the supply left shows in what was minted.
  const terms = rewardTerms(reward, { sealed: sealedBefore, gain, issued: 0n, forfeited });
  return {
    units: reward.units.toString(),
    sealed_before: sealedBefore,
    halvings: terms.halvings,
    halved: terms.halvedUnits.toString(),
    gain_sum_micro_nats: gain.sumMicroNats.toString(),
    gain_windows: gain.windows,
    gain_bp: terms.gainBp.toString(),
    by_gain: ((terms.halvedUnits * terms.gainBp) / BASIS_POINTS).toString(),
    fresh: (minted - forfeited).toString(),
    forfeited: forfeited.toString(),
    reward: minted.toString(),
  };
}

async function windowView(
  { chain, units }: PayoutParts,
  { seal, before, meta, entries }: Sealed,
  { kind, amount, query }: { kind: WorkKind; amount: bigint; query: SharesQuery },
): Promise<PayoutView['windows'][number]> {
  const { reward } = meta.manifest;
  const place = { sealed: before.work[kind].seq, next: seal.work[kind].seq };
  const span = windowSpan(reward, kind, place);
  const holdings = await holdingsOf(units, kind, span);
  const accounts = byAddress(holdings);
  const payees = new Set(entries.filter((entry) => entry.kind === ENTRY_KIND[kind]).map(({ to }) => to));
  const paidTo = (address: string): string => {
    if (payees.has(address)) return address;
    const account = accruedAccount(chain.networkId, address);
    return payees.has(account) ? account : address;
  };
  const shown = explained(accounts, amount)
    .filter(({ address }) => query.address === undefined || address === query.address)
    .slice(0, query.limit);
  return {
    ...{ kind, scheme: reward.scheme ?? 'pplns', from: span.from, to: span.to },
    ...heldView(totalOf(holdings)),
    amount: amount.toString(),
    accounts: shown.map((held) => ({ ...held, paid_to: paidTo(held.address) })),
  };
}

/** Each account's part, with what the cumulative floor makes it of. */
function explained(accounts: ReturnType<typeof byAddress>, amount: bigint) {
  if (accounts.length === 0) return [];
  const amounts = splitAmount(
    amount,
    accounts.map(({ credit }) => credit),
  );
  let sum = 0n;
  return accounts.map(({ address, ...held }, i) => {
    const before = sum.toString();
    sum += held.credit;
    return { address, ...heldView(held), before, amount: String(amounts[i]) };
  });
}

const ENTRY_KIND = { evaluation: 'reward-evaluator', grinding: 'reward-grinder' } as const;

/** Reads the span anew, as it lies behind what is in memory. */
async function holdingsOf(
  units: WorkUnits,
  kind: WorkKind,
  span: ReturnType<typeof windowSpan>,
): Promise<readonly Holding[]> {
  const window = new UnitWindow(span.from);
  while (window.next < span.to) {
    const page = await units.encoded(kind, window.next, Math.min(PAGE, span.to - window.next));
    if (page.length === 0) break;
    for (const bytes of page) window.add(decodeUnit(bytes));
  }
  return window.holdings({ ...span, to: window.next });
}
