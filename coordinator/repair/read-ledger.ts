import { unitsOf } from '#coordinator/ledger/work-units.ts';
import type { Watch } from '#coordinator/progress.ts';
import { corrupt } from '#coordinator/store/io-error.ts';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import type { KV } from '#coordinator/store/kv.ts';
import type { SealedSubmission } from '#shared/block/audit-chains.ts';
import { JournalAudit } from '#shared/block/audit-journal.ts';
import { RewardAudit } from '#shared/block/audit-rewards.ts';
import { WorkAudit } from '#shared/block/audit-work.ts';
import { type JournalEntry, TRANSFER_KINDS } from '#shared/block/journal.ts';
import { WORK_KINDS, type WorkPlaces } from '#shared/block/work-log.ts';
import { readU64be, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

/** The journal replayed, and what follows from its transfers. */
export interface FoundJournal {
  readonly journal: JournalAudit;
  /** Transfers that each account made. */
  readonly nonces: ReadonlyMap<string, bigint>;
  /** Digest (hex) of a transfer → number of its entry. */
  readonly transfers: ReadonlyMap<string, number>;
}

/** JOURNAL where an entry, a link, a reward or a seal's place in it is wrong; STORE_CORRUPT where its end is gone. */
export async function readJournal(
  kv: KV,
  found: { readonly networkId: Uint8Array; readonly seals: readonly SealedSubmission[] },
  { signal }: Watch,
): Promise<FoundJournal> {
  const journal = new JournalAudit(found.networkId);
  const rewards = new RewardAudit(found.networkId);
  for (const { submission, miner, seal, meta, after } of found.seals) {
    const { manifest } = meta;
    rewards.claim({ height: after.position.index, submission, miner, seal, manifest });
  }
  const nonces = new Map<string, bigint>();
  const transfers = new Map<string, number>();
  rewards.place(journal.journal);
  for await (const [, bytes] of kv.entries(bucketRange(BUCKET.journalEntry))) {
    signal.throwIfAborted();
    const entry = journal.append(bytes);
    rewards.entry(entry);
    rewards.place(journal.journal);
    if (TRANSFER_KINDS.includes(entry.kind)) noteTransfer(entry, nonces, transfers);
  }
  rewards.settle(Number.POSITIVE_INFINITY);
  const head = await kv.get(bucketKey(BUCKET.journalHead));
  const told = head ? Number(readU64be(head)) : 0;
  const { seq } = journal.journal;
  if (told > seq) throw corrupt(`the journal has ${seq} entries of ${told}`);
  return { journal, nonces, transfers };
}

function noteTransfer(
  { from, ref, seq }: JournalEntry,
  nonces: Map<string, bigint>,
  transfers: Map<string, number>,
): void {
  if (from !== null) nonces.set(from, (nonces.get(from) ?? 0n) + 1n);
  const id = toHex(ref);
  must(!transfers.has(id), 'JOURNAL', `entry ${seq}: transfer ${id} was made before`);
  transfers.set(id, seq);
}

/** Both logs of work, held against the seals. */
export async function readWork(
  kv: KV,
  found: { readonly networkId: Uint8Array; readonly seals: readonly SealedSubmission[] },
): Promise<WorkPlaces> {
  const audits = WORK_KINDS.map((kind) => new WorkAudit(found.networkId, kind));
  for (const audit of audits)
    for (const { seal, after } of found.seals) audit.seal(after.position.index, seal);
  for (const [i, kind] of WORK_KINDS.entries()) {
    for await (const bytes of unitsOf(kv, kind)) audits[i]?.append(bytes);
    audits[i]?.finish(Number.POSITIVE_INFINITY);
  }
  const [evaluation, grinding] = audits.map(({ place }) => place);
  return { evaluation, grinding } as WorkPlaces;
}
