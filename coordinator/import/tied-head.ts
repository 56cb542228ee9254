import { createHash } from 'node:crypto';
import type { CheckpointTensor } from '#coordinator/import/checkpoint.ts';
import type { MatchedTensors } from '#coordinator/import/tensor-names.ts';
import { must } from '#shared/errors/pool-error.ts';

/** WEIGHTS_NAMES where a head that the configuration ties to the embeddings is stored beside them and differs. */
export async function checkTiedHead({ tensors, tiedHead }: MatchedTensors<CheckpointTensor>): Promise<void> {
  if (tiedHead === null) return;
  const embeddings = tensors.get(tiedHead.name) as CheckpointTensor;
  must(
    await sameTensor(tiedHead.head, embeddings),
    'WEIGHTS_NAMES',
    `${tiedHead.head.name} differs from ${tiedHead.name}, to which config.json ties it: if it is a head of its own, set "tie_word_embeddings" to false`,
  );
}

/** True for the same dtype and bytes; both are read to the end. */
export async function sameTensor(a: CheckpointTensor, b: CheckpointTensor): Promise<boolean> {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  return (await digestOf(a)) === (await digestOf(b));
}

async function digestOf(tensor: CheckpointTensor): Promise<string> {
  const sha = createHash('sha256');
  for await (const piece of tensor.read()) sha.update(piece);
  return sha.digest('hex');
}
