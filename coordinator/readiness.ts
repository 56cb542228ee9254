import type { Chain } from '#coordinator/chain/chain.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import type { KV } from '#coordinator/store/kv.ts';
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

interface LiveParts {
  readonly kv: KV;
  readonly chain: Chain;
  readonly ledger: Ledger;
  readonly queue: { ping(): Promise<unknown> };
  readonly redis: { readonly describe: string };
}

/** What a live pool stands on. */
export function liveChecks({ kv, chain, ledger, queue, redis }: LiveParts): ReadinessChecks {
  return {
    store: async () => {
      // A store that failed once takes no write any more; an empty one finds out.
      await kv.batch([], { durable: false });
      return `height ${chain.height('B')}`;
    },
    redis: async () => {
      await queue.ping();
      return redis.describe;
    },
    ledger: async () => {
      ledger.guard.mustHold();
      return `${ledger.journal.seq} entries`;
    },
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
