import { z } from 'zod';
import { rawBlocksSchema } from '#shared/api/audit-schemas.ts';
import { decodeParameterBody } from '#shared/block/body.ts';
import { decodeEntry, type JournalEntry, mints } from '#shared/block/journal.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { gainOf, rewardTerms } from '#shared/reward/schedule.ts';
import type { Pool } from '#test/helpers/pool.ts';

const schema = z.looseObject({ entries: z.array(z.string()), minted: z.string() });

/** All entries of the pool's journal, and what it says was minted. */
export async function readJournal(pool: Pool): Promise<{ entries: JournalEntry[]; minted: bigint }> {
  const { entries, minted } = await pool.api.json('journal?limit=500', schema);
  return {
    entries: entries.map((hex) => decodeEntry(Uint8Array.from(Buffer.from(hex, 'hex')))),
    minted: BigInt(minted),
  };
}

/** The entries that minted the reward of one submission. */
export const entriesOf = (entries: readonly JournalEntry[], submission: string): JournalEntry[] =>
  entries.filter((entry) => mints(entry.kind) && toHex(entry.ref) === submission);

export const sumOf = (entries: readonly JournalEntry[]): bigint =>
  entries.reduce((sum, { amount }) => sum + amount, 0n);

/** What the schedule gives every sealed submission, by id, where nothing was ever forfeited. */
export async function rewardsDue(pool: Pool, reward: Manifest['reward']): Promise<Map<string, bigint>> {
  const { blocks } = await pool.api.json('chain/B/raw?from=0&limit=500', rawBlocksSchema);
  const due = new Map<string, bigint>();
  let issued = 0n;
  for (const { body } of blocks) {
    const { seal, submission } = decodeParameterBody(Uint8Array.from(Buffer.from(body, 'hex')));
    const [attestation] = seal?.certificate?.attestations ?? [];
    if (!attestation) continue;
    const facts = { sealed: due.size, gain: gainOf(attestation), issued, forfeited: 0n };
    const { units } = rewardTerms(reward, facts);
    due.set(toHex(submission), units);
    issued += units;
  }
  return due;
}
