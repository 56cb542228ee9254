import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after } from 'node:test';
import type { ModelView } from '#shared/api/schemas.ts';
import { JournalAudit } from '#shared/block/audit-journal.ts';
import {
  decodeEntry,
  EMPTY_JOURNAL,
  type JournalHead,
  type JournalLink,
  linkEntries,
  type Move,
} from '#shared/block/journal.ts';
import type { SealedModel } from '#shared/block/parameter-chain.ts';
import type { WorkKind } from '#shared/block/work-log.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { CHAIN, chainAfter, META, NETWORK, type StoredBlock } from '#test/helpers/forge.ts';

type Bytes = { header: Uint8Array; body: Uint8Array };

/** Everything that a pool shows to an auditor, as plain data that a test changes at will. */
export interface StoredPool {
  A: Bytes[];
  B: Bytes[];
  /** By hash. */
  payloads: Map<string, Uint8Array>;
  journal: Uint8Array[];
  work: Record<WorkKind, Uint8Array[]>;
  /** What the pool says of its journal. */
  told: JournalHead & { minted: bigint; burned: bigint };
  balances: Map<string, bigint>;
  /** What operator and owners signed: answers by their path, such as `transfer/DIGEST`. */
  signed: Map<string, unknown>;
  model: { -readonly [key in keyof ModelView]: ModelView[key] };
}

/** The pool of test/vectors/chain.json: made by another implementation, and whole. */
export function vectorPool(): StoredPool {
  const { sealed } = chainAfter(CHAIN.blocks.length);
  const journal = CHAIN.submissions.flatMap(({ entries }) => entries);
  const stored = [CHAIN.meta, ...CHAIN.blocks];
  return {
    A: [copy(CHAIN.meta)],
    B: CHAIN.blocks.map(copy),
    payloads: new Map(stored.map(({ payload }) => [sha256(payload), payload.slice()])),
    ...accounts(journal),
    work: { evaluation: copies(CHAIN.work.evaluation), grinding: copies(CHAIN.work.grinding) },
    signed: new Map(),
    model: viewOf(sealed),
  };
}

/** What a pool says whose newest seal is this one. */
export function viewOf({ position, root, saltHash, tensors }: SealedModel): StoredPool['model'] {
  return {
    network: toHex(NETWORK),
    name: META.manifest.name,
    unsafe_keys: META.manifest.unsafe_keys,
    meta: { index: 0, hash: toHex(META.hash), payload_hash: toHex(META.payloadHash) },
    head: { index: position.index, hash: toHex(position.hash) },
    root: toHex(root),
    salt_hash: toHex(saltHash),
    parameters: 1,
    validation_loss_nats: null,
    tensors: [...tensors.values()].map(({ name, dtype, shape, payloadHash, height }) => ({
      ...{ name, dtype, shape: [...shape], hash: toHex(payloadHash), height },
    })),
  };
}

/** An entry as the answers show it that no audit reads. */
export const NO_ENTRY = {
  seq: 0,
  at: 0,
  kind: 'transfer',
  ref: '00'.repeat(32),
  from: null,
  to: null,
  amount: '1',
};

/** A journal of these entries, with totals and balances that follow from it. */
export function accounts(journal: readonly Uint8Array[]): Pick<StoredPool, 'journal' | 'told' | 'balances'> {
  const audit = new JournalAudit(NETWORK);
  for (const entry of journal) audit.append(entry);
  return {
    journal: journal.map((entry) => entry.slice()),
    told: { ...audit.journal, ...audit.totals },
    balances: new Map(audit.balances),
  };
}

/** A move with its time: an entry without its place. */
export type TimedMove = Move & { readonly time: number };

export function movesOf(journal: readonly Uint8Array[]): TimedMove[] {
  return journal.map((bytes) => {
    const { kind, ref, from, to, amount, at: time } = decodeEntry(bytes);
    return { kind, ref, from, to, amount, time };
  });
}

/** Moves linked anew, as whoever keeps the ledger could do to hide a change. */
export function relinked(moves: readonly TimedMove[]): Uint8Array[] {
  let journal: JournalLink = EMPTY_JOURNAL;
  return moves.flatMap(({ time, ...move }) => {
    const { entries, head } = linkEntries(NETWORK, journal, { moves: [move], at: time });
    journal = head;
    return entries.map(({ bytes }) => bytes);
  });
}

const copies = (list: readonly Uint8Array[]) => list.map((bytes) => bytes.slice());
const copy = ({ header, body }: StoredBlock): Bytes => ({ header: header.slice(), body: body.slice() });

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Serves a stored pool over the addresses that an audit reads; `pool` may be replaced at any time. */
export class StoredPoolServer {
  pool: StoredPool = vectorPool();
  /** Called before each answer. */
  onRequest: (path: string) => void = () => {};
  readonly url: string;

  private constructor(url: string) {
    this.url = url;
  }

  /** Ends after the tests of the calling file. */
  static async start(): Promise<StoredPoolServer> {
    const http = createServer();
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    const served = new StoredPoolServer(`http://127.0.0.1:${(http.address() as AddressInfo).port}`);
    http.on('request', (request, response) => served.#answer(request.url ?? '', response));
    after(() => {
      http.closeAllConnections();
      http.close();
    });
    return served;
  }

  #answer(path: string, response: ServerResponse): void {
    this.onRequest(path);
    try {
      const answer = this.#find(new URL(path, this.url));
      if (answer instanceof Uint8Array) response.end(answer);
      else response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
    } catch (error) {
      const { status } = PoolError.from(error);
      response.writeHead(status).end(JSON.stringify({ error: PoolError.from(error).toObject() }));
    }
  }

  #find({ pathname, searchParams }: URL): unknown {
    const [first = '', second = '', third = ''] = pathname.slice(1).split('/');
    const from = Number(searchParams.get('from') ?? 0);
    // Short pages, so that every test turns some.
    const page = <T>(items: readonly T[]): T[] => items.slice(from, from + 7);
    const { pool } = this;
    if (first === 'model') return pool.model;
    if (first === 'chain' && third === 'raw')
      return {
        blocks: page(pool[second as 'A' | 'B']).map(({ header, body }) => ({
          ...{ header: toHex(header), body: toHex(body) },
        })),
      };
    if (first === 'balance')
      return { address: second, balance: (pool.balances.get(second) ?? 0n).toString() };
    const signed = pool.signed.get(`${first}/${second}`);
    if (signed) return signed;
    if (first === 'journal') {
      const { seq, head, root, minted, burned } = pool.told;
      const totals = { minted: minted.toString(), burned: burned.toString() };
      return {
        entries: page(pool.journal).map(toHex),
        journal: { seq, head: toHex(head), root: toHex(root) },
        ...totals,
      };
    }
    if (first === 'work-units') {
      const log = pool.work[second as WorkKind];
      return { units: page(log).map(toHex), place: { seq: log.length, head: '00'.repeat(32) } };
    }
    const payload = first === 'payload' ? pool.payloads.get(second) : undefined;
    if (payload) return payload;
    throw new PoolError('NOT_FOUND', 'there is no payload of this hash');
  }
}
