import type { Epochs } from '#coordinator/chain/epochs.ts';
import type { EpochRecord } from '#coordinator/store/epoch-records.ts';
import type { HeldOutResult } from '#coordinator/store/held-out-results.ts';
import type { EpochDetail, EpochView } from '#shared/api/epoch-schemas.ts';
import type { SubmissionView } from '#shared/api/schemas.ts';
import { toHex } from '#shared/crypto/bytes.ts';

/** An epoch as the API and the feed show it. */
export async function epochView(epochs: Epochs, record: EpochRecord): Promise<EpochView> {
  return summaryOf(record, await resultsOf(epochs, record));
}

/** Epochs from number `from` on; the newest where it is left out. */
export function epochViews(
  epochs: Epochs,
  { from, limit }: { from?: number | undefined; limit: number },
): Promise<EpochView[]> {
  const start = from ?? Math.max(0, epochs.all.length - limit);
  return Promise.all(epochs.all.slice(start, start + limit).map((record) => epochView(epochs, record)));
}

/** With shards, paths and the evidence of every result. */
export async function epochDetail(epochs: Epochs, number: number): Promise<EpochDetail | undefined> {
  const record = epochs.all[number];
  if (!record) return undefined;
  const results = await resultsOf(epochs, record);
  const windows = await epochs.windowsOf(record);
  return {
    ...summaryOf(record, results),
    revealed: (record.revealed?.shards ?? []).map(({ hash, bytes, path }, i) => ({
      ...{ index: record.firstShard + i, hash: toHex(hash), bytes, path: path.map(toHex) },
    })),
    windows: { first: windows[0] ?? 0, count: windows.length },
    results: results.filter((result) => result !== undefined).map(evidenceOf),
  };
}

/** How a submission stands in its epoch; undefined where it belongs to none. */
export async function heldOutView(
  epochs: Epochs,
  submission: Uint8Array,
): Promise<SubmissionView['held_out']> {
  const found = epochs.of(submission);
  if (!found) return undefined;
  return { epoch: found.epoch.number, held: (await epochs.result(submission))?.held ?? null };
}

const resultsOf = (epochs: Epochs, { members }: EpochRecord) =>
  Promise.all(members.map(({ submission }) => epochs.result(submission)));

function summaryOf(record: EpochRecord, results: readonly (HeldOutResult | undefined)[]): EpochView {
  const { number, root, seals, firstShard, shards, members, over, revealed } = record;
  const isSettled = results.every((result) => result !== undefined);
  const ended = revealed ? (isSettled ? 'settled' : 'revealed') : 'over';
  return {
    number,
    state: over ? ended : 'open',
    root: toHex(root),
    seals,
    first_shard: firstShard,
    shards,
    revealed_at: revealed?.at ?? null,
    submissions: members.map(({ submission, last }, i) => ({
      submission: toHex(submission),
      height: last,
      held: results[i]?.held ?? null,
    })),
  };
}

function evidenceOf({
  submission,
  at,
  held,
  tokens,
  attestations,
}: HeldOutResult): EpochDetail['results'][number] {
  return {
    submission: toHex(submission),
    at,
    held,
    tokens,
    attestations: attestations.map(({ worker, backend, base, candidate, signature }) => ({
      ...{ worker: toHex(worker), backend, base, candidate, signature: toHex(signature) },
    })),
  };
}
