import { z } from 'zod';
import { decodeEntry, type JournalEntry } from '#shared/block/journal.ts';
import { toHex } from '#shared/crypto/bytes.ts';
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

/** The entries that one submission caused. */
export const entriesOf = (entries: readonly JournalEntry[], submission: string): JournalEntry[] =>
  entries.filter((entry) => toHex(entry.ref) === submission);

export const sumOf = (entries: readonly JournalEntry[]): bigint =>
  entries.reduce((sum, { amount }) => sum + amount, 0n);
