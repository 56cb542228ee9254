import type { ModelView } from '#shared/api/schemas.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import type { SealedModel } from '#shared/block/parameter-chain.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

/** What the chains give, to hold `GET /model` against. */
export interface Replayed {
  readonly networkId: Uint8Array;
  readonly sealed: SealedModel;
}

/** BLOCK_LINK, BLOCK_ROOT or BLOCK_ENCODING where the pool's view is not the model that its chain makes. */
export function checkModelView(view: ModelView, { networkId, sealed }: Replayed): void {
  equal('network', view.network, toHex(networkId), 'BLOCK_LINK');
  equal('head.index', view.head.index, sealed.position.index, 'BLOCK_LINK');
  equal('head.hash', view.head.hash, toHex(sealed.position.hash), 'BLOCK_LINK');
  equal('root', view.root, toHex(sealed.root), 'BLOCK_ROOT');
  equal('salt_hash', view.salt_hash, toHex(sealed.saltHash), 'BLOCK_CERTIFICATE');
  equal('number of tensors', view.tensors.length, sealed.tensors.size, 'BLOCK_ROOT');
  const named = new Set<string>();
  for (const tensor of view.tensors) {
    const expected = sealed.tensors.get(tensor.name);
    must(
      expected,
      'BLOCK_ROOT',
      () => `it names a tensor ${JSON.stringify(tensor.name)}; the chain has none`,
    );
    must(!named.has(tensor.name), 'BLOCK_ROOT', `it names ${tensor.name} twice`);
    named.add(tensor.name);
    equal(`height of ${tensor.name}`, tensor.height, expected.height, 'BLOCK_ROOT');
    equal(`hash of ${tensor.name}`, tensor.hash, toHex(expected.payloadHash), 'BLOCK_ROOT');
    equal(`dtype of ${tensor.name}`, tensor.dtype, expected.dtype, 'BLOCK_ROOT');
    equal(`shape of ${tensor.name}`, tensor.shape.join(), expected.shape.join(), 'BLOCK_ROOT');
  }
}

/** The same for the Meta block that it names. */
export function checkMetaView(view: ModelView, { hash, payloadHash, manifest }: MetaBlock): void {
  equal('meta.hash', view.meta.hash, toHex(hash), 'BLOCK_LINK');
  equal('meta.payload_hash', view.meta.payload_hash, toHex(payloadHash), 'BLOCK_LINK');
  equal('name', view.name, manifest.name, 'BLOCK_LINK');
  equal('unsafe_keys', String(view.unsafe_keys), String(manifest.unsafe_keys), 'BLOCK_LINK');
}

function equal<T extends string | number>(
  what: string,
  told: T,
  expected: T,
  code: 'BLOCK_LINK' | 'BLOCK_ROOT' | 'BLOCK_CERTIFICATE',
): void {
  must(told === expected, code, `${what}: the chain gives ${expected}, the pool says ${told}`);
}
