import type { SealedSubmission } from '#shared/block/audit-chains.ts';
import { checkRewards } from '#shared/block/audit-rewards.ts';
import { decodeEntry, entryDigest, isSealed, type JournalEntry, type Move } from '#shared/block/journal.ts';
import { equalBytes, isZero, ZERO_32 } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { at, onBlock } from '#worker/audit/finding.ts';
import type { AuditSource } from '#worker/audit/source.ts';

/**
 * Reads the journal from where one submission was sealed: the entry before must be the one that the seal names, its
 * reward entries the ones that the seal fixed. They stand together, as one commit appends them. JOURNAL.
 */
export async function rewardsOf(
  source: AuditSource,
  networkId: Uint8Array,
  sealed: SealedSubmission,
): Promise<void> {
  const { seal, submission, miner, meta, after } = sealed;
  const height = after.position.index;
  const moves: Move[] = [];
  for await (const entry of entriesFrom(source, networkId, { seal, height })) {
    const isOurs = isSealed(entry.kind) && equalBytes(entry.ref, submission);
    if (isOurs) moves.push(entry);
    else if (moves.length > 0) break;
  }
  const claim = { height, submission, miner, seal, manifest: meta.manifest };
  onBlock('B', height, () => checkRewards(networkId, claim, moves));
}

/** The linked entries that follow the journal that a seal names. */
async function* entriesFrom(
  source: AuditSource,
  networkId: Uint8Array,
  { seal, height }: { seal: SealedSubmission['seal']; height: number },
): AsyncGenerator<JournalEntry> {
  const { seq: start, head: expected } = seal.journal;
  let head = start === 0 ? ZERO_32 : undefined;
  onBlock('B', height, () =>
    must(
      start > 0 || isZero(expected),
      'JOURNAL',
      'it was made on an empty journal, whose head is expected to be zero',
    ),
  );
  for (let seq = Math.max(0, start - 1); ; ) {
    const { entries } = await source.journal(seq);
    if (entries.length === 0) return;
    for (const bytes of entries) {
      const entry = at(`journal entry ${seq}`, () => linked(bytes, seq, head));
      head = entryDigest(networkId, bytes);
      seq += 1;
      if (seq > start) yield entry;
      else
        onBlock('B', height, () =>
          must(
            equalBytes(expected, head as Uint8Array),
            'JOURNAL',
            `the journal it was made on does not end with entry ${seq - 1}`,
          ),
        );
    }
  }
}

function linked(bytes: Uint8Array, seq: number, head: Uint8Array | undefined): JournalEntry {
  const entry = decodeEntry(bytes);
  must(
    entry.seq === seq && (head === undefined || equalBytes(entry.prev, head)),
    'JOURNAL',
    `expected entry ${seq}, linked to the one before it`,
  );
  return entry;
}
