import { z } from 'zod';

/** What an auditor reads: blocks and journal entries as they are stored. */

const hex = z.string().regex(/^(?:[0-9a-f]{2})*$/);
const hex32 = z.string().regex(/^[0-9a-f]{64}$/);
/** Base units as decimal text. */
const units = z.string().regex(/^[0-9]{1,80}$/);

/** `GET /chain/:id/raw?from&limit`. */
export const rawBlocksSchema = z.strictObject({
  blocks: z.array(z.strictObject({ header: hex, body: hex })),
});

/** `GET /work-units/:kind?from&limit`: encoded units of a log of work, and where it stood when they were read. */
export const workPageSchema = z.strictObject({
  units: z.array(hex),
  place: z.strictObject({ seq: z.int().nonnegative(), head: hex32 }),
});

/** `GET /journal?from&limit`: encoded entries, and where the journal stood when they were read. */
export const journalPageSchema = z.strictObject({
  entries: z.array(hex),
  journal: z.strictObject({ seq: z.int().nonnegative(), head: hex32, root: hex32 }),
  minted: units,
  burned: units,
});
