/** What ends each part that was opened, in the order of their opening. */
export type Closers = (() => Promise<void> | void)[];

/** In the reverse order. One part that fails to close keeps no other open, Redis least of all. Rejects with the first failure. */
export async function closeAll(closers: Closers): Promise<void> {
  const failures: unknown[] = [];
  for (const close of closers.reverse())
    try {
      await close();
    } catch (error) {
      failures.push(error);
    }
  if (failures.length > 0) throw failures[0];
}
