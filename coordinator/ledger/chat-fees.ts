import type { Chain } from '#coordinator/chain/chain.ts';
import {
  type AllowanceRecord,
  allowanceOp,
  type ChatRecord,
  openChatOps,
  openChats,
  readAllowance,
  settledChatOp,
} from '#coordinator/ledger/chat-records.ts';
import type { Ledger } from '#coordinator/ledger/ledger.ts';
import { corrupt } from '#coordinator/store/io-error.ts';
import type { KV, KvOp } from '#coordinator/store/kv.ts';
import type { WriteLock } from '#coordinator/store/write-lock.ts';
import type { Move } from '#shared/block/journal.ts';
import { toHex, u64be } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import {
  type AllowanceRequest,
  allowanceDigest,
  parseAllowance,
  type SignedAllowance,
} from '#shared/protocol/allowance.ts';
import { CHAT_SPLIT_BP, chatMoves } from '#shared/reward/chat-moves.ts';
import { chatAccount } from '#shared/reward/keyless-account.ts';

export interface ChatFeeParts {
  readonly kv: KV;
  readonly lock: WriteLock;
  readonly ledger: Pick<Ledger, 'balance' | 'prepare' | 'apply'>;
  readonly chain: Pick<Chain, 'networkId' | 'meta' | 'sealed' | 'block'>;
  readonly now: () => number;
  /** The address that signed, or undefined. */
  readonly recover: (signature: Uint8Array, digest: Uint8Array) => Promise<string | undefined>;
}

/** What was reserved for one answer. */
export interface Reservation {
  readonly chat: ChatRecord;
  /** Tokens that are paid for: as many as were asked for, or as the account can afford. */
  readonly tokens: number;
}

/**
 * Fees of chats: reserved before the first token, settled for what was delivered. A reservation that is open at a
 * start belongs to an answer that nobody can bill any more, and goes back. PROTOCOL §16.
 */
export class ChatFees {
  readonly #parts: ChatFeeParts;
  readonly #escrow: string;
  #royalties: { root: string; shares: ReadonlyMap<string, bigint> } | undefined;

  constructor(parts: ChatFeeParts) {
    this.#parts = parts;
    this.#escrow = chatAccount(parts.chain.networkId);
  }

  /** Base units per token; 0 where chats are free. */
  get tokenUnits(): bigint {
    return this.#parts.chain.meta.manifest.fees.chat_token_units;
  }

  /** Gives back what was reserved when the process ended. */
  async start(): Promise<void> {
    for (const chat of await openChats(this.#parts.kv))
      await this.#close(chat, { tokens: 0, worker: chat.account });
  }

  /** PAYMENT where nothing pays, or the allowance does not; ADDRESS, AMOUNT, SIGNATURE, TRANSFER_EXPIRED, FUNDS. */
  async reserve(payment: AllowanceRequest | undefined, wanted: number): Promise<Reservation> {
    const tokenUnits = this.tokenUnits;
    must(
      payment,
      'PAYMENT',
      `a chat costs ${tokenUnits} base units per token here: expected an allowance of an account`,
    );
    const signed = parseAllowance(payment);
    const id = allowanceDigest(this.#parts.chain.networkId, signed.allowance);
    await this.#checkSigner(signed, id);
    return this.#parts.lock.run(async () => {
      const at = this.#parts.now();
      mustBeValid(signed.allowance, at);
      const record = (await readAllowance(this.#parts.kv, id)) ?? {
        v: 1,
        signed: payment,
        spent: 0n,
        chats: 0,
      };
      const tokens = await this.#affordable(signed, record, { wanted, tokenUnits });
      const reserved = tokenUnits * BigInt(tokens);
      const { account } = signed.allowance;
      const ref = digest('chat', this.#parts.chain.networkId, id, u64be(record.chats));
      const chat: ChatRecord = {
        v: 1,
        ref,
        allowance: id,
        number: record.chats,
        account,
        reserved,
        tokenUnits,
      };
      const after = { ...record, spent: record.spent + reserved, chats: record.chats + 1 };
      const move = { kind: 'chat-reserve', ref, from: account, to: this.#escrow, amount: reserved } as const;
      await this.#append([move], at, [...openChatOps(chat), allowanceOp(id, after)]);
      return { chat, tokens };
    });
  }

  /** Bills the tokens that reached the reader, and gives the rest back. Resolves with the fee. */
  settle({ chat }: Reservation, answer: { tokens: number; worker: string }): Promise<bigint> {
    return this.#close(chat, answer);
  }

  async #checkSigner({ allowance, signature }: SignedAllowance, id: Uint8Array): Promise<void> {
    const signer = await this.#parts.recover(signature, id);
    must(
      signer === allowance.account,
      'SIGNATURE',
      `expected an allowance signed by ${allowance.account}, got one by ${signer ?? 'nobody'}`,
    );
  }

  async #affordable(
    { allowance }: SignedAllowance,
    { spent }: AllowanceRecord,
    { wanted, tokenUnits }: { wanted: number; tokenUnits: bigint },
  ): Promise<number> {
    const left = allowance.limit - spent;
    must(
      left >= tokenUnits,
      'PAYMENT',
      `the allowance is used up: ${left} of ${allowance.limit} base units are left, a token costs ${tokenUnits}`,
    );
    const balance = await this.#parts.ledger.balance(allowance.account);
    must(
      balance >= tokenUnits,
      'FUNDS',
      `expected ${tokenUnits} base units or more on ${allowance.account}, it has ${balance}`,
    );
    const bounds = [left / tokenUnits, balance / tokenUnits, BigInt(wanted)];
    return Number(bounds.reduce((least, bound) => (bound < least ? bound : least)));
  }

  async #close(chat: ChatRecord, { tokens, worker }: { tokens: number; worker: string }): Promise<bigint> {
    const { chain, kv, lock } = this.#parts;
    const royalties = await this.#royaltiesNow();
    const { manifest } = chain.meta;
    const billed = chat.tokenUnits * BigInt(tokens);
    const fee = billed < chat.reserved ? billed : chat.reserved;
    await lock.run(async () => {
      const moves = chatMoves({
        ...{ ref: chat.ref, account: chat.account, escrow: this.#escrow, reserved: chat.reserved },
        ...{ fee, worker, pool: addressOf(manifest.pool_key), royalties },
        splitBp: manifest.fees.split_bp ?? CHAT_SPLIT_BP,
      });
      const refund = moves.find(({ kind }) => kind === 'chat-refund')?.amount ?? 0n;
      const record = await readAllowance(kv, chat.allowance);
      if (!record) throw corrupt('the allowance of an open chat is missing');
      const after = { ...record, spent: record.spent - refund };
      await this.#append(moves, this.#parts.now(), [
        settledChatOp(chat.ref),
        allowanceOp(chat.allowance, after),
      ]);
    });
    return fee;
  }

  async #append(moves: readonly Move[], at: number, ops: readonly KvOp[]): Promise<void> {
    const { kv, ledger } = this.#parts;
    const prepared = await ledger.prepare(moves, at);
    await kv.batch([...prepared.ops, ...ops], { durable: true });
    ledger.apply(prepared);
  }

  /** By the elements of the tensors that each miner's newest blocks hold: what answers is their weights. */
  async #royaltiesNow(): Promise<ReadonlyMap<string, bigint>> {
    const { chain } = this.#parts;
    const root = toHex(chain.sealed.root);
    if (this.#royalties?.root === root) return this.#royalties.shares;
    const shares = new Map<string, bigint>();
    for (const { height, shape } of chain.sealed.tensors.values()) {
      const block = await chain.block('B', height);
      if (!block) throw corrupt(`block B${height} is missing`);
      const owner = addressOf(block.header.minerPub);
      const elements = BigInt(shape.reduce((product, size) => product * size, 1));
      shares.set(owner, (shares.get(owner) ?? 0n) + elements);
    }
    this.#royalties = { root, shares };
    return shares;
  }
}

function mustBeValid({ expiry }: SignedAllowance['allowance'], at: number): void {
  const seconds = BigInt(Math.floor(at / 1000));
  must(
    seconds <= expiry,
    'TRANSFER_EXPIRED',
    `the allowance was valid until ${expiry}, now it is ${seconds}`,
  );
}
