/** Runs `work` over all items, `atOnce` of them at a time. Rejects with the first error; no other begins then. */
export async function eachOf<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failed = false;
  const run = async () => {
    while (next < items.length && !failed) {
      try {
        await work(items[next++] as T);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, run));
}

/** `count` different items, or all of them, in their order: each as likely as any other. */
export function sampleOf<T>(items: readonly T[], count: number, random: () => number): T[] {
  let wanted = Math.min(count, items.length);
  return items.filter((_, i) => {
    const left = items.length - i;
    if (random() * left >= wanted) return false;
    wanted -= 1;
    return true;
  });
}
