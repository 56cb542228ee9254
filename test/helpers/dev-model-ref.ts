import { createGenesis } from '#coordinator/chain/genesis/create-genesis.ts';
import { devGenesis } from '#coordinator/chain/genesis/dev-genesis.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import type { ModelRef, TensorRefMessage } from '#shared/protocol/worker.ts';
import type { TestGateway } from '#test/helpers/test-gateway.ts';
import { rootOf, withTensors } from '#worker/model/model-slot.ts';

/** The development network's first model, its payloads served by `gateway`. */
export function devModelRef(gateway: TestGateway): ModelRef {
  const content = devGenesis();
  const key = keyPair(new Uint8Array(32).fill(1));
  const genesis = createGenesis({
    name: 'test',
    unsafeKeys: true,
    governor: key,
    pool: key,
    timestampMs: 0,
    content,
  });
  const tensors = content.tensors.map(({ name, dtype, shape, bytes }): TensorRefMessage => {
    return { name, dtype, shape: [...shape], hash: gateway.addPayload(bytes) };
  });
  const metaPayload = gateway.addPayload(genesis.metaPayload);
  return {
    meta: Buffer.from(genesis.meta.hash).toString('hex'),
    metaPayload,
    root: rootOf(tensors),
    tensors,
  };
}

/** The same model with one tensor's values scaled: a candidate. */
export function scaledTensor(
  gateway: TestGateway,
  model: ModelRef,
  change: { name: string; factor: number },
): { changed: TensorRefMessage[]; candidateRoot: string } {
  const ref = model.tensors.find(({ name }) => name === change.name) as TensorRefMessage;
  const values = new Float32Array((gateway.payloads.get(ref.hash) as Uint8Array).slice().buffer);
  const scaled = new Uint8Array(values.map((value) => value * change.factor).buffer);
  const changed = [{ ...ref, hash: gateway.addPayload(scaled) }];
  const tensors = model.tensors.map((tensor) => (tensor.name === ref.name ? changed[0] : tensor));
  const candidateRoot = rootOf(tensors as TensorRefMessage[]);
  fromHex(withTensors(model, changed, candidateRoot).root, 32);
  return { changed, candidateRoot };
}
