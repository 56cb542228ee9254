import { join } from 'node:path';
import { Chain } from '#coordinator/chain/chain.ts';
import { Ledger } from '#coordinator/ledger/ledger.ts';
import type { PoolState } from '#coordinator/repair/backup-list.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { PayloadStore } from '#coordinator/store/payload-store.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { type SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import { toHex } from '#shared/crypto/bytes.ts';

export interface OpenedPool {
  readonly state: PoolState;
  readonly pending: readonly SubmissionRecord[];
}

/**
 * Opens the pool in a folder as a coordinator would, reads every entry of its store, so that damage in any of them is
 * found, and closes it. STORE_CORRUPT, STORE_LOCKED, JOURNAL, OPTION where there is no chain.
 */
export async function readPool(dir: string, nowMs: () => number): Promise<OpenedPool> {
  const kv = await openRocksKv(join(dir, 'store'));
  try {
    for await (const _entry of kv.entries());
    return await poolStateOf(kv, nowMs);
  } finally {
    await kv.close();
  }
}

/** The pool in a store, as a coordinator finds it at its start. */
export async function poolStateOf(kv: KV, nowMs: () => number): Promise<OpenedPool> {
  const chain = await Chain.open(kv, new PayloadStore(kv));
  const { journal, guard } = await Ledger.open(kv, chain.networkId);
  guard.mustHold();
  const submissions = await Submissions.open(kv, nowMs);
  return {
    state: {
      network: toHex(chain.networkId),
      name: chain.meta.manifest.name,
      height: { A: chain.height('A'), B: chain.height('B') },
      root: toHex(chain.sealed.root),
      journal: { seq: journal.seq, head: toHex(journal.head), root: toHex(journal.root) },
    },
    pending: submissions.pending(),
  };
}
