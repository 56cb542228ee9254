import type { Chain } from '#coordinator/chain/chain.ts';
import { adjustmentOp } from '#coordinator/ledger/adjustment-records.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import type { KV } from '#coordinator/store/kv.ts';
import type { WriteLock } from '#coordinator/store/write-lock.ts';
import type { JournalEntry } from '#shared/block/journal.ts';
import { equalBytes } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import {
  type AdjustmentRequest,
  checkAdjustmentSignature,
  parseAdjustment,
  type SignedAdjustment,
} from '#shared/protocol/adjustment.ts';
import { BURN_ADDRESS } from '#shared/protocol/transfer-typed-data.ts';

export interface AdjustmentParts {
  readonly kv: KV;
  readonly lock: WriteLock;
  readonly ledger: Pick<Ledger, 'adjustment' | 'balance' | 'prepare' | 'apply'>;
  readonly chain: Pick<Chain, 'networkId' | 'meta'>;
  readonly now: () => number;
}

export interface AdjustmentReceipt {
  readonly digest: Uint8Array;
  readonly entry: JournalEntry;
  /** False where it stood there before it was asked for again. */
  readonly isNew: boolean;
}

/**
 * Moves money of the pool's own account where the operator signs for it, each time with a reason. It makes no money,
 * touches no other account, and each signed adjustment is made once.
 */
export class Adjustments {
  readonly #parts: AdjustmentParts;

  constructor(parts: AdjustmentParts) {
    this.#parts = parts;
  }

  /** ADDRESS, AMOUNT, ADJUSTMENT, SIGNATURE, TRANSFER_EXPIRED, FUNDS. */
  async submit(request: AdjustmentRequest): Promise<AdjustmentReceipt> {
    const signed = parseAdjustment(request);
    const digest = checkAdjustmentSignature(this.#parts.chain.networkId, signed);
    return this.#parts.lock.run(async () => {
      const known = await this.#parts.ledger.adjustment(digest);
      if (known) return { digest, entry: known.entry, isNew: false };
      // One time for both: the entry is never later than what was signed for it allows.
      const at = this.#parts.now();
      await this.#check(signed, at);
      return { digest, entry: await this.#append(digest, { ...signed, request, at }), isNew: true };
    });
  }

  async #check({ adjustment, key }: SignedAdjustment, at: number): Promise<void> {
    const { chain, ledger } = this.#parts;
    const poolKey = chain.meta.manifest.pool_key;
    must(
      equalBytes(key, poolKey),
      'SIGNATURE',
      () => `expected a signature by the pool’s key, ${addressOf(poolKey)}, got one by ${addressOf(key)}`,
    );
    // No key signs for it, and only what an owner signs burns: there the money would lie for ever.
    must(
      adjustment.to !== BURN_ADDRESS,
      'ADJUSTMENT',
      'to: expected an account that somebody has, got the zero address',
    );
    const seconds = BigInt(Math.floor(at / 1000));
    must(
      seconds <= adjustment.expiry,
      'TRANSFER_EXPIRED',
      () => `the adjustment was valid until ${adjustment.expiry}, now it is ${seconds}`,
    );
    const balance = await ledger.balance(addressOf(key));
    must(
      balance >= adjustment.amount,
      'FUNDS',
      () => `expected ${adjustment.amount} or more on the pool’s account, it has ${balance}`,
    );
  }

  async #append(
    digest: Uint8Array,
    { adjustment, key, request, at }: SignedAdjustment & { request: AdjustmentRequest; at: number },
  ): Promise<JournalEntry> {
    const { kv, ledger } = this.#parts;
    const { to, amount } = adjustment;
    const move = { kind: 'adjustment', ref: digest, from: addressOf(key), to, amount } as const;
    const prepared = await ledger.prepare([move], at);
    const entry = prepared.entries[0] as JournalEntry;
    await kv.batch([...prepared.ops, adjustmentOp({ entry, request })], { durable: true });
    ledger.apply(prepared);
    return entry;
  }
}
