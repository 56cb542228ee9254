import type { CheckpointTensor } from '#coordinator/import/checkpoint.ts';
import { isBuffer } from '#coordinator/import/tensor-names.ts';
import type { WeightsFile } from '#coordinator/import/weights-file.ts';
import { collectBytes } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { headerLength, parseSafetensorsHeader } from '#shared/weights/safetensors.ts';

const LENGTH_BYTES = 8;

/** The tensors of one safetensors file, without saved buffers. WEIGHTS_HEADER, WEIGHTS_DTYPE, WEIGHTS_TRUNCATED. */
export async function safetensorsTensors(file: WeightsFile): Promise<CheckpointTensor[]> {
  try {
    return await readTensors(file);
  } catch (error) {
    if (!(error instanceof PoolError) || error.message.startsWith(file.path)) throw error;
    throw new PoolError(error.code, `${file.path}: ${error.message}`, error.details, { cause: error });
  }
}

async function readTensors(file: WeightsFile): Promise<CheckpointTensor[]> {
  const prefix = await collectBytes(file.read(0, Math.min(LENGTH_BYTES, file.size)));
  const dataStart = LENGTH_BYTES + headerLength(prefix);
  must(
    dataStart <= file.size,
    'WEIGHTS_TRUNCATED',
    `expected a header of ${dataStart - LENGTH_BYTES} bytes, the file has ${file.size}`,
  );
  const json = await collectBytes(file.read(LENGTH_BYTES, dataStart));
  const { entries, dataBytes } = parseSafetensorsHeader(json, isBuffer);
  const end = dataStart + dataBytes;
  must(file.size >= end, 'WEIGHTS_TRUNCATED', `expected ${end} bytes, the file has ${file.size}`);
  must(file.size === end, 'WEIGHTS_HEADER', `expected ${end} bytes, the file has ${file.size}`);
  return entries.map(({ name, dtype, shape, start, end: stop }) => ({
    name,
    dtype,
    shape,
    read: () => file.read(dataStart + start, dataStart + stop),
  }));
}
