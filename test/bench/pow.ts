import { createHash, hash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { benchCourtesy } from '#test/bench/pow/courtesy.ts';
import { figure, type Report } from '#test/bench/report.ts';
import { build } from '#worker/mine/build.mjs';
import { type Grinder, HEADER_BYTES, NONCE_OFFSET } from '#worker/mine/grinder.ts';
import { createWasmGrinder } from '#worker/mine/wasm-grinder.ts';

const ROUNDS = 20;
/** Each takes a tenth of a second: the processor time of a process is counted in steps of some milliseconds. */
const ONE_SHOTS = 100_000;
const BULK_BYTES = 1 << 22;
const BULKS = 32;
const SHA256_BLOCK_BYTES = 64;
const NONCES_PER_THREAD = 1_000_000n;
const UNIT = 'M/s';
const STOPS = 20;
const BEFORE_STOP_MS = 30;

const header = Uint8Array.from({ length: HEADER_BYTES }, (_, i) => (i * 7 + 1) & 0xff);

/** How programs hash one header with node:crypto, and what newer Node offers besides. */
const ONE_SHOT = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();
const OTHER_ONE_SHOTS = [
  (bytes: Uint8Array) => hash('sha256', bytes, 'buffer'),
  (bytes: Uint8Array) => hash('sha256', bytes, 'hex'),
];

/** The best rates seen, in millions per second of processor time; the last two per second of wall time. */
interface Rates {
  oneShot: number;
  fastestOneShot: number;
  bulk: number;
  one: number;
  oneWall: number;
  twoWall: number;
}

/**
 * The WebAssembly grinder against `node:crypto`. Every rate is the best of many short rounds, taken in turn. What runs
 * on one core is timed by the processor time it took, so that other load on the machine counts little; two threads
 * against one are timed by the clock, which asks for two idle cores.
 */
export async function bench(report: Report): Promise<void> {
  await build();
  const one = await createWasmGrinder({ threads: 1 });
  const two = await createWasmGrinder({ threads: 2 });
  try {
    reportRates(await measure(one, two), report);
    let slowestStopMs = 0;
    for (let i = 0; i < STOPS; i++) slowestStopMs = Math.max(slowestStopMs, await stopMs(two));
    report(
      figure({
        name: 'pow',
        metric: `abort to end, slowest of ${STOPS}`,
        value: slowestStopMs,
        unit: 'ms',
        goal: { on: 'value', atMost: 100 },
      }),
    );
  } finally {
    await Promise.all([one.close(), two.close()]);
  }
  await benchCourtesy(report);
}

async function measure(one: Grinder, two: Grinder): Promise<Rates> {
  const best: Rates = { oneShot: 0, fastestOneShot: 0, bulk: 0, one: 0, oneWall: 0, twoWall: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const alone = await grindRate(one);
    const both = await grindRate(two);
    best.oneShot = Math.max(best.oneShot, await oneShotRate(ONE_SHOT));
    for (const way of [ONE_SHOT, ...OTHER_ONE_SHOTS])
      best.fastestOneShot = Math.max(best.fastestOneShot, await oneShotRate(way));
    best.bulk = Math.max(best.bulk, await bulkRate());
    best.one = Math.max(best.one, alone.cpu);
    best.oneWall = Math.max(best.oneWall, alone.wall);
    best.twoWall = Math.max(best.twoWall, both.wall);
  }
  return best;
}

function reportRates(best: Rates, report: Report): void {
  const of = { name: 'pow', unit: UNIT } as const;
  report(
    figure({
      ...of,
      metric: 'hashes, one thread',
      value: best.one,
      anchor: { name: 'createHash of node:crypto, once for each header', value: best.oneShot },
      goal: { on: 'ratio', atLeast: 12 },
    }),
  );
  report(
    figure({
      ...of,
      metric: 'the same',
      value: best.one,
      anchor: { name: 'the fastest of createHash, hash to bytes, hash to hex', value: best.fastestOneShot },
    }),
  );
  report(
    figure({
      ...of,
      metric: 'compressions, one thread',
      value: best.one,
      anchor: { name: 'OpenSSL bulk', value: best.bulk },
      goal: { on: 'ratio', atLeast: 0.4 },
    }),
  );
  report(
    figure({
      ...of,
      metric: 'hashes, two threads',
      value: best.twoWall,
      anchor: { name: 'one thread', value: best.oneWall },
      goal: { on: 'ratio', atLeast: 1.9 },
    }),
  );
}

/** Milliseconds from the abort until every thread has stopped; a pause is noticed at the same place. */
async function stopMs(grinder: Grinder): Promise<number> {
  const abort = new AbortController();
  const running = grinder.grind({ header, target: 0n, start: 0n, count: 1n << 63n }, abort.signal);
  await wait(BEFORE_STOP_MS);
  const began = performance.now();
  abort.abort();
  await running;
  return performance.now() - began;
}

/** Millions per second, by the clock and by the processor time of the whole process. */
async function rate(work: () => number | Promise<number>): Promise<{ wall: number; cpu: number }> {
  const cpuBegan = process.cpuUsage();
  const began = performance.now();
  const count = await work();
  const wallMicros = (performance.now() - began) * 1e3;
  const { user, system } = process.cpuUsage(cpuBegan);
  return { wall: count / wallMicros, cpu: count / (user + system) };
}

async function oneShotRate(way: (bytes: Uint8Array) => unknown): Promise<number> {
  const bytes = Uint8Array.from(header);
  const view = new DataView(bytes.buffer);
  const { cpu } = await rate(() => {
    for (let i = 0; i < ONE_SHOTS; i++) {
      view.setUint32(NONCE_OFFSET + 4, i);
      way(bytes);
    }
    return ONE_SHOTS;
  });
  return cpu;
}

async function bulkRate(): Promise<number> {
  const bytes = new Uint8Array(BULK_BYTES);
  const { cpu } = await rate(() => {
    for (let i = 0; i < BULKS; i++) createHash('sha256').update(bytes).digest();
    return (BULKS * BULK_BYTES) / SHA256_BLOCK_BYTES;
  });
  return cpu;
}

/** No hash meets target 0, so exactly the whole range is hashed. */
function grindRate(grinder: Grinder): Promise<{ wall: number; cpu: number }> {
  const count = NONCES_PER_THREAD * BigInt(grinder.threads);
  const job = { header, target: 0n, start: 0n, count };
  return rate(async () => Number((await grinder.grind(job, new AbortController().signal)).hashes));
}
