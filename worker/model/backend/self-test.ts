import { must } from '#shared/errors/pool-error.ts';
import { parameterCount } from '#shared/weights/model-config.ts';
import type { Device } from '#worker/model/backend/device.ts';
import { MEASURED, TESTED } from '#worker/model/backend/self-test-cases.ts';
import type { BackendName } from '#worker/model/backend/start.ts';
import { type Outcome, TinyModel } from '#worker/model/backend/tiny-model.ts';

/** What a backend turned out to be. */
export interface BackendReport {
  readonly name: BackendName;
  readonly device: string;
  readonly memoryBytes: number | undefined;
  readonly software: boolean;
  /** 2 · parameters · tokens of a loss evaluation, by its time. */
  readonly gflops: number;
}

/** Far below every δ of a gate, and above what another order of additions makes of a loss. */
const TOLERANCE_MICRO_NATS = 10;
const GRADIENT_TOLERANCE = 1e-5;
/** Sequences evaluated together: one at first, since a slow backend must not be asked for more. */
const MANY = 8;
const SLOW_GFLOPS = 2;
const MEASURE_MS = 300;

/**
 * Tests the backend that is current: tiny models of two families, which touch every kernel, must give the losses,
 * gradients and greedy tokens that are known. Then measures its speed. BACKEND with the first difference.
 */
export async function selfTest(name: BackendName, device: Device): Promise<BackendReport> {
  for (const { config, expected } of TESTED) {
    const model = new TinyModel(config, expected.lossMicroNats.length);
    const fault = difference(await model.outcome(), expected);
    model.dispose();
    must(fault === undefined, 'BACKEND', () => `backend ${name}: self-test of ${config.family}: ${fault}`);
  }
  const { memoryBytes, software } = device;
  return { name, device: device.name, memoryBytes, software, gflops: await measure() };
}

/** In words; undefined where there is none. NaN differs from everything. */
function difference(computed: Outcome, expected: Outcome): string | undefined {
  for (const [i, loss] of expected.lossMicroNats.entries()) {
    const found = computed.lossMicroNats[i] ?? Number.NaN;
    if (!(Math.abs(found - loss) <= TOLERANCE_MICRO_NATS))
      return `expected loss ${loss} micro-nats, got ${found}`;
  }
  const [found, known] = [computed.gradientMicro, expected.gradientMicro];
  if (!(Math.abs(found / known - 1) <= GRADIENT_TOLERANCE))
    return `expected a gradient of norm ${known / 1e6}, got ${found / 1e6}`;
  if (computed.tokens.join() !== expected.tokens.join())
    return `expected tokens ${expected.tokens}, got ${computed.tokens}`;
  return undefined;
}

async function measure(): Promise<number> {
  const alone = await measureSequences(1);
  return alone < SLOW_GFLOPS ? alone : Math.max(alone, await measureSequences(MANY));
}

/** The best of several evaluations: the first also compiles what a GPU runs. */
async function measureSequences(sequences: number): Promise<number> {
  const model = new TinyModel(MEASURED, sequences);
  const work = 2 * parameterCount(MEASURED) * sequences * MEASURED.context;
  const begin = performance.now();
  let best = 0;
  for (let run = 0; run < 2 || performance.now() - begin < MEASURE_MS; run++) {
    const start = performance.now();
    await model.losses();
    best = Math.max(best, work / (performance.now() - start) / 1e6);
  }
  model.dispose();
  return best;
}
