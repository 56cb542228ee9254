import { availableParallelism } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { MAX_TARGET } from '#shared/pow/target.ts';
import { initialWeights } from '#shared/weights/initial-weights.ts';
import { parseModelConfig } from '#shared/weights/model-config.ts';
import { figure, type Report } from '#test/bench/report.ts';
import { randomIds } from '#test/helpers/tensors.ts';
import { windowLosses } from '#worker/evaluate/window-losses.ts';
import { Courtesy, defaultThreads } from '#worker/mine/courtesy.ts';
import { type Grinder, HEADER_BYTES } from '#worker/mine/grinder.ts';
import { createWasmGrinder } from '#worker/mine/wasm-grinder.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { buildKernels } from '#worker/model/kernels/build.mjs';
import { Model } from '#worker/model/model.ts';
import { fromValues, ResidentWeights } from '#worker/model/weight-set.ts';

/** Alone and beside hashing in turn, so that other load falls on both alike. Longer than hashing waits for a turn. */
const ROUNDS = 7;
const ROUND_MS = 5_500;
const PAUSES = 20;
const BEFORE_PAUSE_MS = 40;
/** Shares come every fraction of a millisecond, and tell until when it hashed. */
const SHARE_TARGET = MAX_TARGET >> 12n;
const CONTEXT = 128;
const VOCABULARY = 1024;

/** What hashing leaves to evaluation on this machine, as a worker runs both, and how soon it yields. */
export async function benchCourtesy(report: Report): Promise<void> {
  const cores = availableParallelism();
  const grinder = await createWasmGrinder({ threads: defaultThreads(cores), background: true });
  try {
    await reportRates(grinder, cores, report);
    let slowestMs = 0;
    for (let i = 0; i < PAUSES; i++) slowestMs = Math.max(slowestMs, await yieldMs(grinder));
    report(
      figure({
        name: 'pow',
        metric: `pause to the last hash, slowest of ${PAUSES}`,
        value: slowestMs,
        unit: 'ms',
        goal: { on: 'value', atMost: 100 },
      }),
    );
  } finally {
    await grinder.close();
  }
}

async function reportRates(grinder: Grinder, cores: number, report: Report): Promise<void> {
  const evaluate = await smallModel();
  const courtesy = new Courtesy(grinder, cores);
  const counts = { alone: [] as number[], beside: [] as number[] };
  await evaluate(ROUND_MS / 10);
  for (let round = 0; round < ROUNDS; round++) {
    counts.alone.push(await evaluate(ROUND_MS));
    const stop = new AbortController();
    const hashing = endless(grinder, stop.signal);
    counts.beside.push(await courtesy.during(() => evaluate(ROUND_MS)));
    stop.abort();
    await hashing;
  }
  const perSecond = (windows: number[]) => (median(windows) * 1000) / ROUND_MS;
  report(
    figure({
      name: 'pow',
      metric: `evaluation beside hashing, ${cores} cores`,
      value: perSecond(counts.beside),
      unit: 'windows/s',
      anchor: { name: 'alone', value: perSecond(counts.alone) },
      goal: { on: 'ratio', atLeast: 0.95 },
    }),
  );
}

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

const endless = (grinder: Grinder, signal: AbortSignal) =>
  grinder.grind({ header: new Uint8Array(HEADER_BYTES), target: 0n, start: 0n, count: 1n << 63n }, signal);

/** Windows of the development network's model, evaluated for so long; how many. */
async function smallModel(): Promise<(forMs: number) => Promise<number>> {
  await buildKernels();
  await startBackend('wasm');
  const config = parseModelConfig({
    ...{ model_type: 'gpt2', activation_function: 'gelu_new', n_layer: 4, n_head: 4, n_embd: 128 },
    ...{ n_positions: CONTEXT, vocab_size: VOCABULARY },
  });
  const model = new Model(config, await ResidentWeights.load(config, fromValues(initialWeights(config, 1))));
  const windows = Array.from({ length: 8 }, (_, i) =>
    Uint32Array.from(randomIds(CONTEXT + 1, i + 1, VOCABULARY)),
  );
  return async (forMs) => {
    const began = performance.now();
    let passedMs = 0;
    let count = 0;
    for (; passedMs < forMs; passedMs = performance.now() - began)
      count += (await windowLosses(model, windows)).length;
    return (count * forMs) / passedMs;
  };
}

/** From the pause to the last share that was found. */
async function yieldMs(grinder: Grinder): Promise<number> {
  const stop = new AbortController();
  let lastMs = 0;
  const hashing = grinder.grind(
    { header: new Uint8Array(HEADER_BYTES), target: 0n, start: 0n, count: 1n << 63n },
    stop.signal,
    {
      target: SHARE_TARGET,
      found: () => {
        lastMs = performance.now();
      },
    },
  );
  await wait(BEFORE_PAUSE_MS);
  const pausedMs = performance.now();
  grinder.pause();
  await wait(3 * BEFORE_PAUSE_MS);
  stop.abort();
  grinder.resume();
  await hashing;
  return Math.max(0, lastMs - pausedMs);
}
