import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Chain } from '#coordinator/chain/chain.ts';
import { Ledger } from '#coordinator/ledger/ledger.ts';
import { RewardWindows } from '#coordinator/ledger/reward-windows.ts';
import { TRANSFER_DEFAULTS, Transfers } from '#coordinator/ledger/transfers.ts';
import { WorkUnits } from '#coordinator/ledger/work-units.ts';
import { BUCKET, bucketKey } from '#coordinator/store/keys.ts';
import { type KV, put } from '#coordinator/store/kv.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { WriteLock } from '#coordinator/store/write-lock.ts';
import type { Move } from '#shared/block/journal.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { NO_WORK, type Work } from '#shared/block/work-log.ts';
import { concatBytes, fromHex, toHex, u64be, utf8ToBytes, ZERO_32 } from '#shared/crypto/bytes.ts';
import { type KeyPair, keyPair } from '#shared/crypto/keys.ts';
import { recoverAddress } from '#shared/crypto/recover.ts';
import type { TransferRequest } from '#shared/protocol/transfer.ts';
import { rewardMoves, rewardParts } from '#shared/reward/reward-moves.ts';
import { figure, type Report } from '#test/bench/report.ts';
import { signTransfer } from '#worker/wallet/send.ts';

const NETWORK = new Uint8Array(32).fill(9);
const SENDERS = 50;
const TRANSFERS = 6_000;
/** Before they count: the first of a process load and compile what signatures are checked with. */
const WARM_UP = 500;
/** Requests under way at a time: those of many clients. */
const AT_ONCE = 64;
const ACCOUNTS = 1_000_000;
const PAYEES = 10_000;
const WINDOW_UNITS = 100_000;
const GRIND_BATCH = 10_000;
const LOOKUPS = 2_000;
/** Of the key 0x22…22. */
const TO = '0x1563915e194D8CfBA1943570603F7606A3115508';
const EACH = 10n ** 12n;

/** Transfers, a large payout, and lookups in a ledger of a million accounts. */
export async function bench(report: Report): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'aiblock-bench-'));
  const kv = await openRocksKv(join(dir, 'store'));
  try {
    const senders = Array.from({ length: SENDERS }, () => keyPair(new Uint8Array(randomBytes(32))));
    await fill(kv, senders);
    const openedMs = performance.now();
    const ledger = await Ledger.open(kv, NETWORK);
    report(
      figure({
        name: 'ledger',
        metric: `open and add up ${ACCOUNTS.toLocaleString('en')} balances`,
        value: performance.now() - openedMs,
        unit: 'ms',
      }),
    );
    await transfers(report, { kv, ledger, senders });
    await payout(report, { kv, ledger });
    await planning(report, kv);
    await lookups(report, ledger);
  } finally {
    await kv.close();
    await rm(dir, { recursive: true, force: true });
  }
}

interface Parts {
  readonly kv: KV;
  readonly ledger: Ledger;
}

async function transfers(report: Report, { kv, ledger, senders }: Parts & { senders: readonly KeyPair[] }) {
  const requests = signed(senders);
  const stage = new Transfers(TRANSFER_DEFAULTS, {
    kv,
    lock: new WriteLock(),
    ledger,
    networkId: NETWORK,
    now: Date.now,
    recover: async (signature, digest) => recoverAddress(signature, digest),
  });
  const waits: number[] = [];
  let next = 0;
  const client = async (end: number) => {
    while (next < end) {
      const request = requests[next++] as TransferRequest;
      const sentMs = performance.now();
      await stage.submit(request);
      waits.push(performance.now() - sentMs);
    }
  };
  const clients = (end: number) => Promise.all(Array.from({ length: AT_ONCE }, () => client(end)));
  await clients(WARM_UP);
  waits.length = 0;
  const startedMs = performance.now();
  await clients(requests.length);
  const seconds = (performance.now() - startedMs) / 1000;
  await stage.close();
  report(
    figure({
      name: 'ledger',
      metric: `durable transfers with their signatures checked, ${AT_ONCE} at a time`,
      value: TRANSFERS / seconds,
      unit: '/s',
      anchor: { name: 'durable batches of one entry after another', value: await plainPerSecond(kv) },
      goal: { on: 'value', atLeast: 2_000 },
    }),
  );
  report(
    figure({
      name: 'ledger',
      metric: 'answer to a transfer, 99th percentile',
      value: percentile(waits, 0.99),
      unit: 'ms',
      goal: { on: 'value', atMost: 50 },
    }),
  );
}

async function payout(report: Report, { kv, ledger }: Parts) {
  const times: number[] = [];
  const writes: number[] = [];
  for (let round = 0; round < 3; round++) {
    const moves = Array.from(
      { length: PAYEES },
      (_, i): Move => ({
        kind: 'reward-grinder',
        ref: ZERO_32,
        from: null,
        to: addressAt(i * 97),
        amount: BigInt(i + 1),
      }),
    );
    const startedMs = performance.now();
    const prepared = await ledger.prepare(moves, Date.now());
    await kv.batch(prepared.ops, { durable: true });
    ledger.apply(prepared);
    times.push(performance.now() - startedMs);
    const againMs = performance.now();
    await kv.batch(prepared.ops, { durable: true });
    writes.push(performance.now() - againMs);
  }
  report(
    figure({
      name: 'ledger',
      metric: `payout to ${PAYEES.toLocaleString('en')} accounts, durable, worst of 3`,
      value: Math.max(...times),
      unit: 'ms',
      anchor: { name: 'the same bytes written once more', value: Math.max(...writes) },
      goal: { on: 'value', atMost: 200 },
    }),
  );
}

/** How long it takes to fix who gets what, from a full window, and to build the window at a start. */
async function planning(report: Report, kv: KV) {
  const units = await WorkUnits.open(kv, NETWORK);
  const { manifest } = planManifest();
  const chain = { meta: { manifest }, sealed: { work: NO_WORK } } as unknown as Chain;
  const live = new RewardWindows(units, chain);
  await live.now();
  await grind(units, { kv, count: WINDOW_UNITS });
  const times: number[] = [];
  for (let round = 0; round < 3; round++) {
    await grind(units, { kv, count: 100 });
    const startedMs = performance.now();
    const { evaluation, grinding } = await live.now();
    const parts = rewardParts({
      ...{ manifest, units: EACH, submitter: TO },
      ...{ evaluations: evaluation.holdings, grindings: grinding.holdings },
    });
    rewardMoves(parts, { networkId: NETWORK, manifest, submission: ZERO_32, accrued: noneAccrued });
    times.push(performance.now() - startedMs);
  }
  const startedMs = performance.now();
  await new RewardWindows(units, chain).now();
  report(
    figure({
      name: 'ledger',
      metric: `plan of a reward over ${WINDOW_UNITS.toLocaleString('en')} units of ${PAYEES.toLocaleString('en')} accounts, worst of 3`,
      value: Math.max(...times),
      unit: 'ms',
      anchor: { name: 'reading the window from the store', value: performance.now() - startedMs },
      goal: { on: 'ratio', atMost: 0.2 },
    }),
  );
}

function planManifest(): { readonly manifest: Pick<Manifest, 'reward' | 'pool_key'> } {
  const split_bp = { submitter: 0, evaluators: 0, grinders: 10_000, pool: 0 };
  const reward = { units: EACH, split_bp, window_units: WINDOW_UNITS, vesting_bp: 0 };
  return { manifest: { reward, pool_key: keyPair(new Uint8Array(32).fill(1)).publicKey } };
}

function noneAccrued(): never {
  throw new Error('there is no minimum payout');
}

/** Shares of as many workers as there are payees. */
async function grind(units: WorkUnits, { kv, count }: { kv: KV; count: number }): Promise<void> {
  for (let done = 0; done < count; done += GRIND_BATCH) {
    const work = Array.from({ length: Math.min(GRIND_BATCH, count - done) }, (_, i): Work => {
      const worker = new Uint8Array(33);
      const number = (units.places.grinding.seq + i) % PAYEES;
      worker.set(u64be(number), 25);
      const ref = new Uint8Array(randomBytes(32));
      return { worker, address: addressAt(number * 97), credit: BigInt(1 + number), ref };
    });
    const prepared = units.prepare('grinding', work, Date.now());
    await kv.batch(prepared.ops, { durable: false });
    units.apply(prepared);
  }
}

async function lookups(report: Report, ledger: Ledger) {
  const waits: number[] = [];
  for (let i = 0; i < LOOKUPS; i++) {
    const address = addressAt(Math.floor((i * ACCOUNTS) / LOOKUPS));
    const startedMs = performance.now();
    await ledger.balance(address);
    waits.push(performance.now() - startedMs);
  }
  report(
    figure({
      name: 'ledger',
      metric: `balance among ${ACCOUNTS.toLocaleString('en')} accounts, 99th percentile`,
      value: percentile(waits, 0.99),
      unit: 'ms',
      goal: { on: 'value', atMost: 1 },
    }),
  );
}

/** Balances of all accounts, as a ledger of many years would have them. */
async function fill(kv: KV, senders: readonly KeyPair[]): Promise<void> {
  const addresses = [...senders.map(({ address }) => address)];
  for (let i = 0; i < ACCOUNTS; i++) addresses.push(addressAt(i));
  const balance = fromHex(EACH.toString(16).padStart(64, '0'), 32);
  for (let at = 0; at < addresses.length; at += 10_000)
    await kv.batch(
      addresses
        .slice(at, at + 10_000)
        .map((address) => put(bucketKey(BUCKET.balance, utf8ToBytes(address)), balance)),
      { durable: false },
    );
  const minted = BigInt(addresses.length) * EACH;
  const totals = [fromHex(minted.toString(16).padStart(64, '0'), 32), ZERO_32];
  await kv.batch([put(bucketKey(BUCKET.journalHead), concatBytes(u64be(0), ZERO_32, ...totals))], {
    durable: true,
  });
}

/** Not checksummed: the ledger takes addresses as they are. */
const addressAt = (i: number): string => `0x${toHex(u64be(i * 2_654_435_761)).padStart(40, '0')}`;

function signed(senders: readonly KeyPair[]): TransferRequest[] {
  const expiry = BigInt(Math.floor(Date.now() / 1000) + 3_600);
  return Array.from({ length: WARM_UP + TRANSFERS }, (_, i) => {
    const key = senders[i % SENDERS] as KeyPair;
    const nonce = BigInt(Math.floor(i / SENDERS));
    return signTransfer(NETWORK, { from: key.address, to: TO, amount: 1n, nonce, expiry }, key);
  });
}

async function plainPerSecond(kv: KV): Promise<number> {
  const rounds = 200;
  const startedMs = performance.now();
  for (let i = 0; i < rounds; i++)
    await kv.batch([put(bucketKey(0xf0 as never, i), new Uint8Array(250))], { durable: true });
  return rounds / ((performance.now() - startedMs) / 1000);
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
