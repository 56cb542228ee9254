import { createHash, hash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { figure, type Report } from '#test/bench/report.ts';
import { build } from '#worker/mine/build.mjs';
import { type Grinder, HEADER_BYTES, NONCE_OFFSET } from '#worker/mine/grinder.ts';
import { createWasmGrinder } from '#worker/mine/wasm-grinder.ts';

const ROUNDS = 15;
const ONE_SHOTS = 20_000;
const BULK_BYTES = 1 << 22;
const SHA256_BLOCK_BYTES = 64;
const NONCES_PER_THREAD = 2_000_000n;
const UNIT = 'M/s';
const STOPS = 20;
const BEFORE_STOP_MS = 30;

const header = Uint8Array.from({ length: HEADER_BYTES }, (_, i) => (i * 7 + 1) & 0xff);

/**
 * The WebAssembly grinder against `node:crypto`. Every rate is the best of several short rounds, taken in turn, so
 * that other load on the machine falls on all of them alike.
 */
export async function bench(report: Report): Promise<void> {
  await build();
  const one = await createWasmGrinder({ threads: 1 });
  const two = await createWasmGrinder({ threads: 2 });
  const best = { oneShot: 0, bulk: 0, one: 0, two: 0 };
  let slowestStopMs = 0;
  try {
    for (let round = 0; round < ROUNDS; round++) {
      best.oneShot = Math.max(best.oneShot, oneShotRate());
      best.bulk = Math.max(best.bulk, bulkRate());
      best.one = Math.max(best.one, await grindRate(one));
      best.two = Math.max(best.two, await grindRate(two));
    }
    for (let i = 0; i < STOPS; i++) slowestStopMs = Math.max(slowestStopMs, await stopMs(two));
  } finally {
    await Promise.all([one.close(), two.close()]);
  }
  const of = { name: 'pow', unit: UNIT } as const;
  report(
    figure({
      ...of,
      metric: 'hashes, one thread',
      value: best.one,
      anchor: { name: 'node:crypto one-shot', value: best.oneShot },
      goal: { on: 'ratio', atLeast: 12 },
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
      value: best.two,
      anchor: { name: 'one thread', value: best.one },
      goal: { on: 'ratio', atLeast: 1.9 },
    }),
  );
  report(
    figure({
      name: 'pow',
      metric: `abort to end, slowest of ${STOPS}`,
      value: slowestStopMs,
      unit: 'ms',
      goal: { on: 'value', atMost: 100 },
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

/** Millions per second. */
function rate(count: number, work: () => void): number {
  const began = performance.now();
  work();
  return count / (performance.now() - began) / 1e3;
}

/** The fastest of the ways to hash one header with node:crypto. */
function oneShotRate(): number {
  const bytes = Uint8Array.from(header);
  const view = new DataView(bytes.buffer);
  const ways = [
    () => createHash('sha256').update(bytes).digest(),
    () => hash('sha256', bytes, 'buffer'),
    () => hash('sha256', bytes, 'hex'),
  ];
  const rates = ways.map((way) =>
    rate(ONE_SHOTS, () => {
      for (let i = 0; i < ONE_SHOTS; i++) {
        view.setUint32(NONCE_OFFSET + 4, i);
        way();
      }
    }),
  );
  return Math.max(...rates);
}

function bulkRate(): number {
  const bytes = new Uint8Array(BULK_BYTES);
  return rate(BULK_BYTES / SHA256_BLOCK_BYTES, () => {
    createHash('sha256').update(bytes).digest();
  });
}

/** No hash meets target 0, so exactly the whole range is hashed. */
async function grindRate(grinder: Grinder): Promise<number> {
  const count = NONCES_PER_THREAD * BigInt(grinder.threads);
  const job = { header, target: 0n, start: 0n, count };
  const { hashes, ms } = await grinder.grind(job, new AbortController().signal);
  return Number(hashes) / ms / 1e3;
}
