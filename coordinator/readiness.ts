import type { Readiness } from '#shared/api/schemas.ts';

/** A check resolves with what to show, or rejects with what is wrong. */
export type ReadinessChecks = Readonly<Record<string, () => Promise<string>>>;

const DEADLINE_MS = 800;

/** `/readyz`: every check at once, each answered within a second. */
export function readinessOf(checks: ReadinessChecks): () => Promise<Readiness> {
  return async () => {
    const entries = await Promise.all(
      Object.entries(checks).map(async ([name, check]) => [name, await run(check)] as const),
    );
    return { ready: entries.every(([, { ok }]) => ok), checks: Object.fromEntries(entries) };
  };
}

async function run(check: () => Promise<string>): Promise<{ ok: boolean; detail: string }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${DEADLINE_MS} ms`)), DEADLINE_MS);
  });
  try {
    return { ok: true, detail: await Promise.race([check(), late]) };
  } catch (error) {
    return { ok: false, detail: (error as Error).message };
  } finally {
    clearTimeout(timer);
  }
}
