import { Metadata } from '#coordinator/import/gguf/metadata.ts';
import { TENSOR_TYPES, type TensorType } from '#coordinator/import/gguf/tensor-types.ts';
import { runInThread } from '#coordinator/import/thread.ts';
import type { WeightsFile } from '#coordinator/import/weights-file.ts';
import { must } from '#shared/errors/pool-error.ts';

const THREAD_URL = new URL('./parse-thread.mjs', import.meta.url);
/** A header of 50 MB, the most that the parser reads, takes some seconds. */
const DEADLINE_MS = 60_000;
const MAX_TENSORS = 20_000;
const MAX_NAME_LENGTH = 64; // ggml's own limit

export interface GgufTensor {
  readonly name: string;
  /** Row-major, as in torch: the last dimension is contiguous. The file lists them the other way round. */
  readonly shape: readonly number[];
  readonly type: TensorType;
  /** Bytes in the file: [start, end). */
  readonly start: number;
  readonly end: number;
}

export interface GgufHeader {
  readonly metadata: Metadata;
  readonly tensors: readonly GgufTensor[];
}

interface Parsed {
  readonly metadata: [string, unknown][];
  readonly tensors: readonly {
    readonly name: string;
    readonly shape: readonly bigint[];
    readonly dtype: number;
    readonly typeName?: string;
    readonly offset: bigint;
  }[];
  readonly dataOffset: bigint;
  readonly littleEndian: boolean;
}

/** Metadata and tensors of a GGUF file; CHECKPOINT where it is none, is damaged, or is of a kind not supported. */
export async function readGgufHeader(file: WeightsFile, signal: AbortSignal): Promise<GgufHeader> {
  const parsed = await runInThread<Parsed>({
    url: THREAD_URL,
    data: { path: file.path },
    deadlineMs: DEADLINE_MS,
    signal,
    code: 'CHECKPOINT',
    what: `${file.path} cannot be read as GGUF`,
  });
  const fail = (condition: unknown, why: string) => must(condition, 'CHECKPOINT', `${file.path}: ${why}`);
  fail(parsed.littleEndian, 'big-endian GGUF files are not supported');
  const count = parsed.tensors.length;
  fail(count <= MAX_TENSORS, `expected at most ${MAX_TENSORS} tensors, got ${count}`);
  const metadata = new Metadata(parsed.metadata, file.path);
  fail(
    metadata.number('split.count', 1) <= 1,
    'it is one part of several; merge them first (gguf-split --merge)',
  );
  const tensors = parsed.tensors.map((info) => placed(info, { file, fail, base: parsed.dataOffset }));
  checkPlaces(tensors, fail);
  return { metadata, tensors };
}

type Fail = (condition: unknown, why: string) => void;

function placed(
  { name, shape: dimensions, dtype, typeName, offset }: Parsed['tensors'][number],
  { file, fail, base }: { file: WeightsFile; fail: Fail; base: bigint },
): GgufTensor {
  const shown = JSON.stringify(name.slice(0, MAX_NAME_LENGTH));
  fail(name.length > 0 && name.length <= MAX_NAME_LENGTH, `the tensor name ${shown} is empty or too long`);
  const type = TENSOR_TYPES.get(dtype);
  const known = [...TENSOR_TYPES.values()].map((one) => one.name).join(', ');
  must(
    type,
    'WEIGHTS_DTYPE',
    `${file.path}: ${shown} is stored as ${typeName ?? `type ${dtype}`}; supported are ${known}`,
  );
  const shape = dimensions.map(Number).reverse();
  const elements = shape.reduce((product, n) => product * n, 1);
  const bytes = (elements / type.blockElements) * type.blockBytes;
  fail(
    shape.length > 0 && elements > 0 && Number.isSafeInteger(bytes) && Number.isSafeInteger(elements),
    `${shown} has an impossible shape [${shape.join(', ')}]`,
  );
  fail(
    (shape.at(-1) as number) % type.blockElements === 0,
    `${shown}: expected rows of a multiple of ${type.blockElements} elements for ${type.name}`,
  );
  const start = base + offset;
  fail(
    start + BigInt(bytes) <= BigInt(file.size),
    `${shown} ends at byte ${start + BigInt(bytes)}, the file at ${file.size}`,
  );
  return { name, shape, type, start: Number(start), end: Number(start) + bytes };
}

/** Tensors on the same bytes would make a small file a model of any size. */
function checkPlaces(tensors: readonly GgufTensor[], fail: Fail): void {
  fail(tensors.length > 0, 'it holds no tensor');
  const names = new Set(tensors.map(({ name }) => name));
  fail(names.size === tensors.length, 'a tensor name stands twice');
  const sorted = [...tensors].sort((a, b) => a.start - b.start);
  for (const [i, tensor] of sorted.entries()) {
    const before = sorted[i - 1];
    fail(!before || before.end <= tensor.start, `${before?.name} and ${tensor.name} overlap`);
  }
}
