// Reads the header of a GGUF file: its metadata and where each tensor stands. In a thread, since a crafted file may
// keep the parser busy for long.
import { parentPort, workerData } from 'node:worker_threads';
import { GGMLQuantizationType, gguf } from '@huggingface/gguf';

try {
  const { metadata, tensorInfos, tensorDataOffset, littleEndian } = await gguf(workerData.path, {
    allowLocalFile: true,
  });
  // Entries, so that no key is special.
  const result = {
    metadata: Object.entries(metadata),
    tensors: tensorInfos.map((info) => ({ ...info, typeName: GGMLQuantizationType[info.dtype] })),
    dataOffset: tensorDataOffset,
    littleEndian,
  };
  parentPort.postMessage({ result });
} catch (error) {
  parentPort.postMessage({ failure: String(error?.message ?? error) });
}
