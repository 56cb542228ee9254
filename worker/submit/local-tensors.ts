import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { type Dtype, isDtype, tensorBytes } from '#shared/weights/dtype.ts';
import { headerLength, parseSafetensorsHeader } from '#shared/weights/safetensors.ts';

/** A tensor that lies in a file. */
export interface LocalTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly path: string;
  /** Place of its bytes in the file: [start, end). */
  readonly start: number;
  readonly end: number;
}

/** What the pool's model says of a tensor. */
export interface WantedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** A tensor of a model; one without a dtype may be stored in any. */
export interface ModelTensor extends Omit<WantedTensor, 'dtype'> {
  readonly dtype?: string;
}

/** Tables and copies that transformers saves with the weights, and that no chain has. */
const NO_WEIGHTS = /(^|\.)(attn\.(bias|masked_bias)|rotary_emb\.inv_freq)$/;
const TIED_HEAD = 'lm_head.weight';
/** The module under which transformers keeps the network: some files have it in their names, some not. */
const PREFIXES = ['transformer.', 'model.'];

/** The tensors of a safetensors file, or of all those of a model folder, under the names of the model. */
export async function readTensors(path: string, wanted: readonly ModelTensor[]): Promise<LocalTensor[]> {
  const found = await statOf(path);
  const files = found.isDirectory() ? await safetensorsIn(path) : [path];
  const tensors = (await Promise.all(files.map(readFile))).flat();
  return fit(tensors, wanted);
}

/** A file of nothing but the bytes of one tensor. */
export async function readRaw(path: string, wanted: WantedTensor): Promise<LocalTensor> {
  const { name, dtype, shape } = wanted;
  must(isDtype(dtype), 'WEIGHTS_DTYPE', () => `${name}: expected F32, F16 or BF16, got ${dtype}`);
  const [bytes, { size }] = [tensorBytes(dtype, shape), await statOf(path)];
  must(
    size === bytes,
    'WEIGHTS_SHAPE',
    () => `${path}: expected the ${bytes} bytes of ${name}, ${dtype} [${shape.join(', ')}], got ${size}`,
  );
  return { name, dtype, shape, path, start: 0, end: size };
}

async function statOf(path: string): ReturnType<typeof stat> {
  return stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new PoolError('OPTION', `${path}: cannot be read (${cause.code})`, {}, { cause });
  });
}

async function safetensorsIn(dir: string): Promise<string[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.safetensors')).sort();
  must(names.length > 0, 'OPTION', () => `${dir}: expected a folder with *.safetensors, found none`);
  return names.map((name) => join(dir, name));
}

async function readFile(path: string): Promise<LocalTensor[]> {
  const file = await open(path).catch((cause: NodeJS.ErrnoException) => {
    throw new PoolError('OPTION', `${path}: cannot be read (${cause.code})`, {}, { cause });
  });
  try {
    const { size } = await file.stat();
    const length = headerLength(await read(file, 0, Math.min(8, size)));
    must(8 + length <= size, 'WEIGHTS_TRUNCATED', `expected a header of ${length} bytes`);
    const header = parseSafetensorsHeader(await read(file, 8, length), (name) => NO_WEIGHTS.test(name));
    const dataStart = 8 + length;
    const end = dataStart + header.dataBytes;
    must(end === size, size < end ? 'WEIGHTS_TRUNCATED' : 'WEIGHTS_HEADER', () => {
      return `expected ${end} bytes by the header, the file has ${size}`;
    });
    return header.entries.map((entry) => ({
      ...entry,
      path,
      start: dataStart + entry.start,
      end: dataStart + entry.end,
    }));
  } catch (error) {
    if (!(error instanceof PoolError)) throw error;
    throw new PoolError(error.code, `${path}: ${error.message}`, error.details, { cause: error });
  } finally {
    await file.close();
  }
}

async function read(file: FileHandle, start: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await file.read(bytes, 0, length, start);
  return bytes;
}

function fit(tensors: readonly LocalTensor[], wanted: readonly ModelTensor[]): LocalTensor[] {
  const byName = new Map(wanted.map((tensor) => [tensor.name, tensor]));
  const found = new Map<string, LocalTensor>();
  for (const tensor of tensors) {
    const name = nameIn(byName, tensor.name);
    if (name === TIED_HEAD && !byName.has(name)) continue;
    must(!found.has(name), 'WEIGHTS_NAMES', () => `${name} stands in two files`);
    checkForm(tensor, name, byName.get(name));
    found.set(name, { ...tensor, name });
  }
  return [...found.values()];
}

function nameIn(model: ReadonlyMap<string, unknown>, name: string): string {
  const others = PREFIXES.flatMap((prefix) => [
    prefix + name,
    name.startsWith(prefix) ? name.slice(prefix.length) : name,
  ]);
  return [name, ...others].find((candidate) => model.has(candidate)) ?? name;
}

function checkForm({ dtype, shape, path }: LocalTensor, name: string, ours: ModelTensor | undefined): void {
  must(ours, 'WEIGHTS_NAMES', () => `${path}: the pool's model has no tensor ${JSON.stringify(name)}`);
  must(
    ours.dtype === undefined || ours.dtype === dtype,
    'WEIGHTS_DTYPE',
    () => `${path}: ${name}: expected ${ours.dtype}, got ${dtype}: save it in that dtype`,
  );
  must(
    ours.shape.join() === shape.join(),
    'WEIGHTS_SHAPE',
    () => `${path}: ${name}: expected [${ours.shape.join(', ')}], got [${shape.join(', ')}]`,
  );
}
