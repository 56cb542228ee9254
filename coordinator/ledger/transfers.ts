import type { Ledger } from '#coordinator/ledger/ledger.ts';
import { transferEntry, transferOp, transferPlaces } from '#coordinator/ledger/transfer-records.ts';
import { BUCKET, bucketKey } from '#coordinator/store/keys.ts';
import { type KV, type KvOp, put } from '#coordinator/store/kv.ts';
import type { WriteLock } from '#coordinator/store/write-lock.ts';
import type { JournalEntry } from '#shared/block/journal.ts';
import { readU64be, toHex, u64be } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import {
  BURN_ADDRESS,
  parseTransfer,
  type Transfer,
  type TransferRequest,
  transferDigest,
  transferMove,
} from '#shared/protocol/transfer.ts';

export interface TransferOptions {
  /** Transfers that share one durable write at most. */
  readonly maxBatch: number;
  /** How long a transfer waits for the ones before it of the same account. */
  readonly gapMs: number;
  /** How far ahead of its account a nonce may be. */
  readonly maxAhead: number;
  /** Transfers that wait at once; more are refused. */
  readonly maxWaiting: number;
}

export const TRANSFER_DEFAULTS: TransferOptions = {
  maxBatch: 500,
  gapMs: 2_000,
  maxAhead: 128,
  maxWaiting: 10_000,
};

/** A transfer that stands in the journal. */
export interface TransferReceipt {
  readonly digest: Uint8Array;
  readonly entry: JournalEntry;
  /** False where it stood there before it was asked for again. */
  readonly isNew: boolean;
}

export interface TransferParts {
  readonly kv: KV;
  readonly lock: WriteLock;
  readonly ledger: Pick<Ledger, 'balances' | 'prepare' | 'apply'>;
  readonly networkId: Uint8Array;
  readonly now: () => number;
  /** The address that signed, or undefined. */
  readonly recover: (signature: Uint8Array, digest: Uint8Array) => Promise<string | undefined>;
}

interface Pending {
  readonly transfer: Transfer;
  readonly signature: Uint8Array;
  readonly digest: Uint8Array;
  readonly since: number;
  readonly resolve: (receipt: TransferReceipt) => void;
  readonly reject: (error: PoolError) => void;
}

/** A batch as it is judged: what its accounts have and may do next, changed by each transfer that is taken. */
interface Accounts {
  readonly balances: Map<string, bigint>;
  readonly nonces: Map<string, bigint>;
}

/**
 * Takes signed transfers, each exactly once: those that arrive together share one durable write, and an answer
 * comes only after it. Transfers of an account are made in the order of their nonces; one that comes early waits
 * a moment for those before it. The same transfer again gets the same answer.
 */
export class Transfers {
  readonly #options: TransferOptions;
  readonly #parts: TransferParts;
  #pending: Pending[] = [];
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: TransferOptions, parts: TransferParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** ADDRESS, AMOUNT, TRANSFER_FORM, SIGNATURE, TRANSFER_EXPIRED, TRANSFER_NONCE, FUNDS; UNAVAILABLE when closing. */
  async submit(request: TransferRequest): Promise<TransferReceipt> {
    const { transfer, signature } = parseTransfer(request);
    const digest = transferDigest(this.#parts.networkId, transfer);
    const signer = await this.#parts.recover(signature, digest);
    must(
      signer === transfer.from,
      'SIGNATURE',
      `expected a signature by ${transfer.from}, got one by ${signer ?? 'nobody: it has not the one valid form'}`,
    );
    must(!this.#closed, 'UNAVAILABLE', 'the pool is closing');
    must(
      this.#pending.length < this.#options.maxWaiting,
      'TOO_MANY_REQUESTS',
      'too many transfers wait at once; try again in a moment',
    );
    return new Promise((resolve, reject) => {
      this.#pending.push({ transfer, signature, digest, since: this.#parts.now(), resolve, reject });
      this.#run();
    });
  }

  /** Finishes what is being written and refuses the rest. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
    for (const { reject } of this.#pending.splice(0))
      reject(
        new PoolError(
          'UNAVAILABLE',
          'the pool is closing; the same transfer again will be answered after its start',
        ),
      );
  }

  #run(): void {
    this.#running ??= this.#loop();
  }

  /** Batches until only transfers are left that wait for others. */
  async #loop(): Promise<void> {
    // What arrives in the same turn belongs in one batch.
    await new Promise(setImmediate);
    for (let progress = true; progress && this.#pending.length > 0 && !this.#closed; ) {
      const batch = this.#pending.splice(0, this.#options.maxBatch);
      const { taken, waiting } = await this.#parts.lock
        .run(() => this.#write(batch))
        .catch((cause: unknown) => {
          for (const { reject } of batch) reject(PoolError.from(cause));
          return { taken: [], waiting: [] };
        });
      // Those that wait may go on once others were taken, or have come.
      progress = taken.length > 0 || this.#pending.length > 0;
      this.#pending.push(...waiting);
    }
    // With the last look at what is pending, and nothing awaited in between: what comes from now on begins another.
    this.#running = undefined;
    this.#watchGaps();
  }

  #watchGaps(): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#pending.length === 0) return;
    const oldest = Math.min(...this.#pending.map(({ since }) => since));
    const waitMs = Math.max(10, oldest + this.#options.gapMs - this.#parts.now());
    this.#timer = setTimeout(() => this.#run(), waitMs);
  }

  /** Judges a batch, writes what is taken, and answers all but those that go on waiting. */
  async #write(batch: readonly Pending[]): Promise<{ taken: Pending[]; waiting: Pending[] }> {
    const known = await transferPlaces(
      this.#parts.kv,
      batch.map(({ digest }) => digest),
    );
    const places = new Map(batch.map((pending, i) => [pending, known[i]]));
    const accounts = await this.#accounts(batch);
    // One time for all: an entry is never later than what was signed for it allows.
    const at = this.#parts.now();
    const taken = new Map<string, Pending>();
    const waiting: Pending[] = [];
    const answers: (() => void)[] = [];
    for (const pending of [...batch].sort(byNonce)) {
      const id = toHex(pending.digest);
      const seq = places.get(pending);
      if (seq !== undefined) answers.push(await this.#again(pending, seq));
      // Its twin is about to be written: the next round finds it in the journal.
      else if (taken.has(id)) waiting.push(pending);
      else {
        const verdict = this.#judge(pending, accounts, at);
        if (verdict === 'take') taken.set(id, pending);
        else if (verdict === 'wait') waiting.push(pending);
        else answers.push(() => pending.reject(verdict));
      }
    }
    if (taken.size > 0) await this.#append([...taken.values()], accounts, at);
    for (const answer of answers) answer();
    return { taken: [...taken.values()], waiting };
  }

  async #append(taken: readonly Pending[], { nonces }: Accounts, at: number): Promise<void> {
    const { kv, ledger } = this.#parts;
    const prepared = await ledger.prepare(
      taken.map(({ digest, transfer }) => transferMove(digest, transfer)),
      at,
    );
    const entryOf = (i: number) => prepared.entries[i] as JournalEntry;
    const senders = new Set(taken.map(({ transfer }) => transfer.from));
    const ops: KvOp[] = [
      ...prepared.ops,
      ...taken.map(({ transfer: { nonce, expiry }, signature }, i) =>
        transferOp(entryOf(i), { nonce, expiry, signature }),
      ),
      ...nonceOps([...senders].map((address) => [address, nonces.get(address) as bigint])),
    ];
    await kv.batch(ops, { durable: true });
    ledger.apply(prepared);
    taken.forEach(({ resolve, digest }, i) => {
      resolve({ digest, entry: entryOf(i), isNew: true });
    });
  }

  #judge({ transfer, since }: Pending, accounts: Accounts, now: number): 'take' | 'wait' | PoolError {
    const { from, to, amount, nonce, expiry } = transfer;
    const next = accounts.nonces.get(from) as bigint;
    const balance = accounts.balances.get(from) as bigint;
    if (BigInt(Math.floor(now / 1000)) > expiry)
      return new PoolError(
        'TRANSFER_EXPIRED',
        `the transfer was valid until ${expiry}, now it is ${Math.floor(now / 1000)}`,
      );
    if (nonce > next) {
      const patient = now - since < this.#options.gapMs && nonce - next <= BigInt(this.#options.maxAhead);
      return patient && !this.#closed ? 'wait' : wrongNonce(from, next, nonce);
    }
    if (nonce < next) return wrongNonce(from, next, nonce);
    if (amount > balance)
      return new PoolError('FUNDS', `expected a balance of ${amount} or more on ${from}, it has ${balance}`);
    accounts.nonces.set(from, next + 1n);
    accounts.balances.set(from, balance - amount);
    if (to !== BURN_ADDRESS) accounts.balances.set(to, (accounts.balances.get(to) as bigint) + amount);
    return 'take';
  }

  async #again({ digest, resolve }: Pending, seq: number): Promise<() => void> {
    const entry = await transferEntry(this.#parts.kv, seq);
    return () => resolve({ digest, entry, isNew: false });
  }

  async #accounts(batch: readonly Pending[]): Promise<Accounts> {
    const balances = await this.#parts.ledger.balances(
      batch.flatMap(({ transfer: { from, to } }) => [from, to]),
    );
    const senders = [...new Set(batch.map(({ transfer }) => transfer.from))];
    const values = await this.#parts.kv.getMany(senders.map(nonceKey));
    const nonces = new Map(senders.map((address, i) => [address, values[i] ? readU64be(values[i]) : 0n]));
    return { balances: new Map(balances), nonces };
  }
}

/** How many transfers accounts have made. */
export function nonceOps(nonces: Iterable<readonly [address: string, nonce: bigint]>): KvOp[] {
  return Array.from(nonces, ([address, nonce]) => put(nonceKey(address), u64be(nonce)));
}

const nonceKey = (address: string) => bucketKey(BUCKET.accountNonce, address);

/** Transfers of an account come in the order of their nonces, all others in that of their arrival. */
const byNonce = (a: Pending, b: Pending): number => Number(a.transfer.nonce - b.transfer.nonce);

const wrongNonce = (from: string, next: bigint, nonce: bigint) =>
  new PoolError('TRANSFER_NONCE', `expected nonce ${next} of ${from}, got ${nonce}`, {
    expected: Number(next),
  });
