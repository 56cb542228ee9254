import { hexToBytes } from '@noble/hashes/utils.js';
import type { z } from 'zod';
import {
  adjustmentSchema,
  type PaidChatView,
  paidChatSchema,
  type TransferProofView,
  transferProofSchema,
} from '#shared/api/account-schemas.ts';
import { journalPageSchema, rawBlocksSchema, workPageSchema } from '#shared/api/audit-schemas.ts';
import { type EpochDetail, epochDetailSchema } from '#shared/api/epoch-schemas.ts';
import type { ModelView } from '#shared/api/schemas.ts';
import type { ChainId } from '#shared/block/header.ts';
import type { JournalHead } from '#shared/block/journal.ts';
import { type Block, blockFromBytes } from '#shared/block/verify-block.ts';
import type { WorkKind } from '#shared/block/work-log.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { AdjustmentRequest } from '#shared/protocol/adjustment.ts';
import { onBlock } from '#worker/audit/finding.ts';
import type { ApiClient } from '#worker/client/api-client.ts';

export interface JournalPage {
  readonly entries: readonly Uint8Array[];
  readonly journal: JournalHead;
  readonly minted: bigint;
  readonly burned: bigint;
}

/** What an audit reads of a pool. Nothing of it is believed. */
export interface AuditSource {
  readonly coordinator: string;
  model(): Promise<ModelView>;
  /** Blocks from this height on; none where the chain ends. */
  blocks(chain: ChainId, from: number): Promise<Block[]>;
  journal(from: number): Promise<JournalPage>;
  /** Encoded units of a log of work from this number on; none where it ends. */
  workUnits(kind: WorkKind, from: number): Promise<Uint8Array[]>;
  balance(address: string): Promise<bigint>;
  /** NOT_FOUND where the pool has no such epoch. */
  epoch(number: number): Promise<EpochDetail>;
  /** What the operator signed for an adjustment. NOT_FOUND where the pool has nothing. */
  adjustment(digest: string): Promise<AdjustmentRequest>;
  /** What the sender signed for a transfer, besides the move itself. NOT_FOUND where the pool has nothing. */
  transfer(digest: string): Promise<Pick<TransferProofView, 'nonce' | 'expiry' | 'signature'>>;
  /** The allowance that pays for a chat. NOT_FOUND where the pool has nothing. */
  paidChat(ref: string): Promise<Pick<PaidChatView, 'number' | 'signed'>>;
  /** NOT_FOUND where the pool has no such payload. */
  payload(hash: string): Promise<AsyncIterable<Uint8Array>>;
}

/** Some 2 MB of JSON, the most that the API gives at once. */
const PAGE = 500;
/** A payload that stands still this long is given up. */
const STALL_MS = 60_000;

/** A pool over its public HTTP API. */
export class HttpSource implements AuditSource {
  readonly #api: ApiClient;
  readonly #signal: AbortSignal;

  constructor(api: ApiClient, signal: AbortSignal) {
    this.#api = api;
    this.#signal = signal;
  }

  get coordinator(): string {
    return this.#api.coordinator;
  }

  model(): Promise<ModelView> {
    return this.#api.model(this.#signal);
  }

  async blocks(chain: ChainId, from: number): Promise<Block[]> {
    const { blocks } = await this.#get(`chain/${chain}/raw?from=${from}&limit=${PAGE}`, rawBlocksSchema);
    return blocks.map(({ header, body }, i) =>
      onBlock(chain, from + i, () => blockFromBytes(hexToBytes(header), hexToBytes(body))),
    );
  }

  async journal(from: number): Promise<JournalPage> {
    const page = await this.#get(`journal?from=${from}&limit=${PAGE}`, journalPageSchema);
    return {
      entries: page.entries.map(hexToBytes),
      journal: {
        seq: page.journal.seq,
        head: fromHex(page.journal.head, 32),
        root: fromHex(page.journal.root, 32),
      },
      minted: BigInt(page.minted),
      burned: BigInt(page.burned),
    };
  }

  async workUnits(kind: WorkKind, from: number): Promise<Uint8Array[]> {
    const { units } = await this.#get(`work-units/${kind}?from=${from}&limit=${PAGE}`, workPageSchema);
    return units.map(hexToBytes);
  }

  async balance(address: string): Promise<bigint> {
    return BigInt((await this.#api.balance(address, this.#signal)).balance);
  }

  async adjustment(digest: string): Promise<AdjustmentRequest> {
    return (await this.#get(`adjustments/${digest}`, adjustmentSchema)).signed;
  }

  async transfer(digest: string): Promise<Pick<TransferProofView, 'nonce' | 'expiry' | 'signature'>> {
    const { nonce, expiry, signature } = await this.#get(`transfer/${digest}`, transferProofSchema);
    return { nonce, expiry, signature };
  }

  paidChat(ref: string): Promise<PaidChatView> {
    return this.#get(`chats/${ref}`, paidChatSchema);
  }

  epoch(number: number): Promise<EpochDetail> {
    return this.#get(`epochs/${number}`, epochDetailSchema);
  }

  async payload(hash: string): Promise<AsyncIterable<Uint8Array>> {
    const stalled = new AbortController();
    const timer = setTimeout(() => stalled.abort(), STALL_MS);
    const signal = AbortSignal.any([this.#signal, stalled.signal]);
    try {
      return watched(await this.#api.payload(hash, { signal }), timer);
    } catch (error) {
      clearTimeout(timer);
      throw error;
    }
  }

  #get<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    return this.#api.json(path, schema, { signal: this.#signal });
  }
}

/** The same bytes; a line that breaks or stands still ends them with UNAVAILABLE. */
async function* watched(
  stream: AsyncIterable<Uint8Array>,
  timer: NodeJS.Timeout,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of stream) {
      timer.refresh();
      yield piece;
    }
  } catch (cause) {
    throw new PoolError('UNAVAILABLE', 'the coordinator broke off a payload', {}, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** All blocks of a chain, page after page, to where it ends now. */
export async function* blocksOf(source: AuditSource, chain: ChainId, from = 0): AsyncGenerator<Block> {
  for (let next = from; ; ) {
    const page = await source.blocks(chain, next);
    if (page.length === 0) return;
    yield* page;
    next += page.length;
  }
}
