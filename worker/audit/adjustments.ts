import type { JournalEntry } from '#shared/block/journal.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { checkAdjustmentSignature, parseAdjustment } from '#shared/protocol/adjustment.ts';
import { at, atAsync } from '#worker/audit/finding.ts';
import type { AuditSource } from '#worker/audit/source.ts';

/**
 * Holds entries of kind `adjustment` against what the operator signed: by a key that some Meta block names as the
 * pool's, over exactly this move, and in time. JOURNAL, SIGNATURE. PROTOCOL §15.
 */
export async function checkAdjustments(
  source: AuditSource,
  networkId: Uint8Array,
  { entries, poolKeys }: { entries: readonly JournalEntry[]; poolKeys: readonly Uint8Array[] },
): Promise<void> {
  for (const entry of entries) {
    const place = `journal entry ${entry.seq}`;
    const request = await atAsync(place, () => source.adjustment(toHex(entry.ref)));
    at(place, () => {
      const signed = parseAdjustment(request);
      const { adjustment, key } = signed;
      const isOurs = poolKeys.some((known) => equalBytes(known, key));
      must(isOurs, 'JOURNAL', () => `${addressOf(key)} signed it, who was never the pool`);
      const digest = checkAdjustmentSignature(networkId, signed);
      must(
        equalBytes(digest, entry.ref) &&
          entry.from === addressOf(key) &&
          entry.to === adjustment.to &&
          entry.amount === adjustment.amount,
        'JOURNAL',
        'it is not the move that the operator signed',
      );
      must(
        BigInt(Math.floor(entry.at / 1000)) <= adjustment.expiry,
        'JOURNAL',
        `what was signed had expired at ${adjustment.expiry}`,
      );
    });
  }
}
