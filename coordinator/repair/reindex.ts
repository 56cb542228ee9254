import { join } from 'node:path';
import {
  headOp,
  metaHeadOp,
  payloadHeightOp,
  rootHeightOp,
  tensorIndexOps,
} from '#coordinator/chain/chain.ts';
import { entryIndexOps } from '#coordinator/ledger/account-entries.ts';
import { growJournalTree } from '#coordinator/ledger/journal-tree.ts';
import { balanceOps, journalHeadOp } from '#coordinator/ledger/ledger.ts';
import { nonceOps } from '#coordinator/ledger/transfers.ts';
import { vestingOps } from '#coordinator/ledger/vesting.ts';
import { unitIndexOps, unitsOf } from '#coordinator/ledger/work-units.ts';
import type { Watch } from '#coordinator/progress.ts';
import type { PoolState } from '#coordinator/repair/backup-list.ts';
import { type Derived, type ReindexLine, rebuild } from '#coordinator/repair/derived.ts';
import { poolStateOf } from '#coordinator/repair/pool-state.ts';
import {
  blocksOf,
  type FoundChains,
  type FoundPayloads,
  readChains,
  readPayloads,
} from '#coordinator/repair/read-chains.ts';
import { type FoundJournal, readJournal, readWork } from '#coordinator/repair/read-ledger.ts';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { del, type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import { payloadStateOp } from '#coordinator/store/payload-store.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { orderOps } from '#coordinator/store/submissions.ts';
import { decodeEntry } from '#shared/block/journal.ts';
import { decodeUnit, WORK_KINDS, type WorkPlaces } from '#shared/block/work-log.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { EMPTY_TREE } from '#shared/crypto/merkle-tree.ts';
import { must } from '#shared/errors/pool-error.ts';

export interface ReindexReport {
  /** What was made anew. */
  readonly lines: readonly ReindexLine[];
  /** The pool as a coordinator finds it afterwards. */
  readonly state: PoolState;
  readonly work: WorkPlaces;
  /** Transfers of the journal whose signature is not there to be shown any more. */
  readonly unsigned: number;
}

/** Everything that the derived buckets follow from. */
interface Sources {
  readonly payloads: FoundPayloads;
  readonly found: FoundChains;
  readonly ledger: FoundJournal;
}

/**
 * Makes anew all that follows from headers, bodies, payloads, journal, share log and submissions, after checking these
 * as an auditor would: what is wrong in them is refused, and nothing is changed. STORE_LOCKED while a coordinator uses
 * the folder. A crash on the way leaves a store that only this command opens.
 */
export async function reindexFolder(
  dataDir: string,
  now: () => number,
  watch: Watch,
): Promise<ReindexReport> {
  const kv = await openRocksKv(join(dataDir, 'store'));
  try {
    return await reindex(kv, now, watch);
  } finally {
    await kv.close();
  }
}

export async function reindex(kv: KV, now: () => number, watch: Watch): Promise<ReindexReport> {
  watch.progress.begin('Reading the payloads', await payloadBytes(kv));
  const payloads = await readPayloads(kv, watch);
  watch.progress.end();
  const found = await readChains(kv, payloads, watch);
  const audited = { networkId: found.chains.networkId, seals: found.seals };
  const ledger = await readJournal(kv, audited, watch);
  const work = await readWork(kv, audited);
  const unsigned = await countUnsigned(kv, ledger);
  const lines: ReindexLine[] = [];
  await kv.batch([put(MARK, new Uint8Array())], { durable: true });
  for (const derived of derivedFrom(kv, { payloads, found, ledger })) lines.push(await rebuild(kv, derived));
  await kv.batch([del(MARK)], { durable: true });
  const { state } = await poolStateOf(kv, now);
  const { root } = ledger.journal.journal;
  must(
    equalRoots(state, { model: found.chains.sealed.root, journal: root }),
    'STORE_CORRUPT',
    'what was made anew has other roots than its sources',
  );
  return { lines, state, work, unsigned };
}

const MARK = bucketKey(BUCKET.reindexing);

function derivedFrom(kv: KV, { payloads, found, ledger }: Sources): Derived[] {
  const { chains, seals } = found;
  const { journal, nonces } = ledger;
  const tensors = [...chains.sealed.tensors.values()].map(({ name, height }) => [name, height] as const);
  return [
    {
      what: 'payloads',
      buckets: [BUCKET.payloadState],
      ops: () => Array.from(payloads, ([hash, size]) => payloadStateOp(fromHex(hash, 32), size)),
    },
    { what: 'heights of payloads', buckets: [BUCKET.payloadHeight], ops: () => payloadHeights(kv) },
    {
      what: 'heights of model roots',
      buckets: [BUCKET.rootHeight],
      ops: () => seals.map(({ after }) => rootHeightOp(after)),
    },
    { what: 'parameter index', buckets: [BUCKET.tensorIndex], ops: () => tensorIndexOps(tensors) },
    { what: 'heads', buckets: [BUCKET.head], ops: () => [metaHeadOp(chains.meta), headOp(chains.sealed)] },
    { what: 'balances', buckets: [BUCKET.balance], ops: () => balanceOps(journal.balances) },
    {
      what: 'journal head',
      buckets: [BUCKET.journalHead],
      ops: () => (journal.journal.seq === 0 ? [] : [journalHeadOp(journal.journal, journal.totals)]),
    },
    {
      what: 'entries of accounts',
      buckets: [BUCKET.accountEntry, BUCKET.accountIndex, BUCKET.forfeit],
      ops: () => entriesOfAccounts(kv),
    },
    { what: 'what vests', buckets: [BUCKET.vesting], ops: () => vesting(kv) },
    { what: 'transfers of accounts', buckets: [BUCKET.accountNonce], ops: () => nonceOps(nonces) },
    { what: 'journal tree', buckets: [BUCKET.journalNode], ops: () => treeNodes(kv) },
    { what: 'shares by hash', buckets: [BUCKET.shareHash], ops: () => shares(kv) },
    { what: 'order of submissions', buckets: [BUCKET.submissionOrder], ops: () => orderOps(kv) },
  ];
}

async function* payloadHeights(kv: KV): AsyncGenerator<KvOp> {
  for (const chain of ['A', 'B'] as const)
    for await (const block of blocksOf(kv, chain)) yield payloadHeightOp(block);
}

async function* entriesOfAccounts(kv: KV): AsyncGenerator<KvOp> {
  for await (const [, bytes] of kv.entries(bucketRange(BUCKET.journalEntry))) {
    const entry = decodeEntry(bytes);
    yield* entryIndexOps([entry], entry.seq + 1);
  }
}

async function* vesting(kv: KV): AsyncGenerator<KvOp> {
  for await (const [, bytes] of kv.entries(bucketRange(BUCKET.journalEntry)))
    yield* vestingOps([decodeEntry(bytes)]);
}

async function* treeNodes(kv: KV): AsyncGenerator<KvOp> {
  let tree = EMPTY_TREE;
  for await (const [, bytes] of kv.entries(bucketRange(BUCKET.journalEntry))) {
    const grown = growJournalTree(tree, [bytes]);
    tree = grown.tree;
    yield* grown.ops;
  }
}

async function* shares(kv: KV): AsyncGenerator<KvOp> {
  for (const kind of WORK_KINDS)
    for await (const bytes of unitsOf(kv, kind)) yield* unitIndexOps(decodeUnit(bytes));
}

/** A signature is not in the journal: where its record is gone, the transfer stands, and cannot be shown. */
async function countUnsigned(kv: KV, { transfers }: FoundJournal): Promise<number> {
  let signed = 0;
  for await (const [key] of kv.entries(bucketRange(BUCKET.transfer)))
    if (transfers.has(toHex(key.subarray(1)))) signed += 1;
  return transfers.size - signed;
}

/** As the headers tell: for the progress bar only. */
async function payloadBytes(kv: KV): Promise<number> {
  let bytes = 0;
  for (const chain of ['A', 'B'] as const)
    for await (const { header } of blocksOf(kv, chain)) bytes += header.payloadBytes;
  return bytes;
}

const equalRoots = (state: PoolState, found: { model: Uint8Array; journal: Uint8Array }): boolean =>
  state.root === toHex(found.model) && state.journal.root === toHex(found.journal);
