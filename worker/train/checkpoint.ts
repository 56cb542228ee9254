import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import {
  headerLength,
  parseSafetensorsHeader,
  type SafetensorsHeader,
  safetensorsHeader,
} from '#shared/weights/safetensors.ts';
import type { TensorState, Trainer } from '#worker/train/trainer.ts';

const FILE = 'checkpoint.safetensors';
const KEY = 'aiblock_training';
const PARTS = ['weight', 'moment1', 'moment2'] as const;
const NO_HASH = '0'.repeat(64);

/** What makes one training run another. */
const settingsSchema = z.strictObject({
  /** SHA-256 of the tokens that are trained on, hex. */
  text: z.string(),
  seed: z.number(),
  batch: z.number(),
  accumulate: z.number(),
  context: z.number(),
  learningRate: z.number(),
  warmupSteps: z.number(),
  weightDecay: z.number(),
  gradClip: z.number(),
  beta1: z.number(),
  beta2: z.number(),
  epsilon: z.number(),
  finalFraction: z.number(),
});
export type TrainingSettings = z.infer<typeof settingsSchema>;

const progressSchema = z.strictObject({
  v: z.literal(1),
  /** Model root of the weights that training began with, hex. */
  base: z.string(),
  settings: settingsSchema,
  /** Steps that changed the weights. */
  steps: z.int().min(0),
  /** Batches that were taken from the text. */
  drawn: z.int().min(0),
});
export type TrainingProgress = Omit<z.infer<typeof progressSchema>, 'v'>;

/**
 * A training run's state in a folder: the trained weights and their moments as a safetensors file whose metadata
 * says where the run stands, with the hash of all values. A new one takes the old one's place at once or not at all.
 */
export class Checkpoint {
  readonly path: string;
  readonly progress: TrainingProgress;
  readonly #header: SafetensorsHeader;
  readonly #dataStart: number;
  readonly #hash: string;

  private constructor(path: string, read: { header: SafetensorsHeader; dataStart: number }) {
    const { hash, ...progress } = parseMetadata(path, read.header.metadata);
    this.path = path;
    this.progress = progress;
    this.#header = read.header;
    this.#dataStart = read.dataStart;
    this.#hash = hash;
  }

  /** `undefined` where the folder has none. CHECKPOINT where its file is none, or damaged. */
  static async find(dir: string): Promise<Checkpoint | undefined> {
    const path = join(dir, FILE);
    const file = await open(path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') return undefined;
      throw new PoolError('STORE_IO', `${path}: cannot be read (${cause.code})`, {}, { cause });
    });
    if (file === undefined) return undefined;
    return using(file, async () => new Checkpoint(path, await readHeader(path, file)));
  }

  /**
   * Puts a trainer of the same tensors to where the run stood. CHECKPOINT where the tensors are others, or the
   * values not those that were written; the trainer is of no use then.
   */
  async restore(trainer: Trainer): Promise<void> {
    const { path } = this;
    const wanted = [...trainer.trained].flatMap(([name, shape]) =>
      PARTS.map((part) => [`${part}/${name}`, `F32 ${shape}`] as const),
    );
    const found = new Map(this.#header.entries.map(({ name, dtype, shape }) => [name, `${dtype} ${shape}`]));
    must(
      found.size === wanted.length && wanted.every(([name, form]) => found.get(name) === form),
      'CHECKPOINT',
      `${path}: holds other tensors than are to be trained now (--only, or another model)`,
    );
    const file = await open(path);
    await using(file, async () => {
      await this.#checkHash(file);
      for (const name of trainer.trained.keys()) {
        const [weight, moment1, moment2] = await Promise.all(
          PARTS.map((part) => this.#values(file, `${part}/${name}`)),
        );
        trainer.restore(name, { weight, moment1, moment2 } as TensorState);
      }
    });
    trainer.resumeAfter(this.progress.steps);
  }

  /** Writes the state of a trainer. STORE_IO where the disk refuses. */
  static async write(dir: string, trainer: Trainer, progress: TrainingProgress): Promise<string> {
    const path = join(dir, FILE);
    const temporary = `${path}.tmp`;
    try {
      await mkdir(dir, { recursive: true });
      const file = await open(temporary, 'w');
      await using(file, () => writeAll(file, trainer, progress));
      await rename(temporary, path);
      const folder = await open(dir);
      await using(folder, () => folder.sync());
      return path;
    } catch (cause) {
      await rm(temporary, { force: true }).catch(() => {});
      const { code } = cause as NodeJS.ErrnoException;
      if (cause instanceof PoolError || code === undefined) throw cause;
      throw new PoolError('STORE_IO', `${path}: cannot be written (${code})`, {}, { cause });
    }
  }

  async #checkHash(file: FileHandle): Promise<void> {
    const digest = createHash('sha256');
    for (const { start, end } of this.#header.entries) digest.update(await this.#bytes(file, start, end));
    must(
      digest.digest('hex') === this.#hash,
      'CHECKPOINT',
      `${this.path}: is damaged: its values were changed`,
    );
  }

  async #values(file: FileHandle, name: string): Promise<Float32Array> {
    const entry = this.#header.entries.find((one) => one.name === name);
    must(entry, 'CHECKPOINT', `${this.path}: has no ${name}`);
    return new Float32Array((await this.#bytes(file, entry.start, entry.end)).buffer);
  }

  async #bytes(file: FileHandle, start: number, end: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(end - start);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, this.#dataStart + start);
    must(bytesRead === bytes.length, 'CHECKPOINT', `${this.path}: ends too early`);
    return bytes;
  }
}

/** CHECKPOINT where a run with these settings cannot go on from there, naming the first that differs. */
export function checkSettings({ path, progress }: Checkpoint, wanted: TrainingSettings): void {
  for (const key of Object.keys(wanted) as (keyof TrainingSettings)[]) {
    const [was, is] = [progress.settings[key], wanted[key]];
    must(
      was === is,
      'CHECKPOINT',
      `${path}: was made with ${key} ${was}, this run has ${is}: use the same, or another folder`,
    );
  }
}

async function readHeader(path: string, file: FileHandle) {
  try {
    const { size } = await file.stat();
    const prefix = new Uint8Array(8);
    await file.read(prefix, 0, 8, 0);
    const json = new Uint8Array(headerLength(prefix));
    await file.read(json, 0, json.length, 8);
    const header = parseSafetensorsHeader(json);
    const dataStart = 8 + json.length;
    must(size === dataStart + header.dataBytes, 'CHECKPOINT', `has ${size} bytes, not those of its header`);
    return { header, dataStart };
  } catch (cause) {
    if (!(cause instanceof PoolError)) throw cause;
    throw new PoolError('CHECKPOINT', `${path}: is damaged: ${cause.message}`, {}, { cause });
  }
}

function parseMetadata(path: string, metadata: ReadonlyMap<string, string>) {
  try {
    const { v: _, ...progress } = progressSchema.parse(JSON.parse(metadata.get(KEY) ?? ''));
    return { ...progress, hash: metadata.get('sha256') ?? '' };
  } catch (cause) {
    throw new PoolError('CHECKPOINT', `${path}: is no checkpoint of a training run`, {}, { cause });
  }
}

async function writeAll(file: FileHandle, trainer: Trainer, progress: TrainingProgress): Promise<void> {
  const text = JSON.stringify({ v: 1, ...progress });
  const tensors = [...trainer.trained].flatMap(([name, shape]) =>
    PARTS.map((part) => ({ name: `${part}/${name}`, dtype: 'F32', shape, part, of: name }) as const),
  );
  const start = (sha256: string) => safetensorsHeader(tensors, { [KEY]: text, sha256 });
  // The hash is known at the end; the header has the same length with any.
  const { header, order } = start(NO_HASH);
  await file.writeFile(header);
  const digest = createHash('sha256');
  for (const { part, of } of order) {
    const { buffer, byteOffset, byteLength } = (await trainer.state(of))[part];
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    digest.update(bytes);
    await file.writeFile(bytes);
  }
  await file.write(start(digest.digest('hex')).header, 0, header.length, 0);
  await file.sync();
}

async function using<T>(file: FileHandle, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await file.close();
  }
}
