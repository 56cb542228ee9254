import type { ModelView } from '#shared/api/schemas.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { TensorRefMessage } from '#shared/protocol/worker.ts';
import { isDtype } from '#shared/weights/dtype.ts';
import type { ApiClient } from '#worker/client/api-client.ts';
import type { PayloadSource } from '#worker/client/payload-cache.ts';
import { fetchMeta, fetchTensor, type MetaView, rootOf } from '#worker/model/model-slot.ts';

/** The model at the head, with its weights. */
export interface Head {
  readonly view: ModelView;
  readonly meta: MetaView;
  readonly refs: readonly TensorRefMessage[];
  readonly tensors: ReadonlyMap<string, Float32Array>;
}

/** Weights by payload hash that need no fetching. */
export type KnownTensors = ReadonlyMap<string, Float32Array>;

export interface HeadSource {
  readonly api: Pick<ApiClient, 'model'>;
  readonly payloads: PayloadSource;
}

/** Fetches what `view` names, except what is known. BLOCK_ROOT where the tensors are not those of the root. */
export async function fetchHead(
  payloads: PayloadSource,
  view: ModelView,
  have: { head?: Head | undefined; known?: KnownTensors; signal: AbortSignal },
): Promise<Head> {
  const { signal } = have;
  const refs = view.tensors.map(toRef);
  must(
    rootOf(refs) === view.root,
    'BLOCK_ROOT',
    `model: expected tensors of root ${view.root}, got those of ${rootOf(refs)}`,
  );
  const same = have.head?.meta.payload === view.meta.payload_hash;
  const meta =
    same && have.head ? have.head.meta : await fetchMeta(payloads, view.meta.payload_hash, { signal });
  const known = new Map([...(have.head ? byHash(have.head) : []), ...(have.known ?? [])]);
  const tensors = new Map<string, Float32Array>();
  for (const ref of refs) {
    signal.throwIfAborted();
    tensors.set(ref.name, known.get(ref.hash) ?? (await fetchTensor(payloads, ref, { signal })));
  }
  return { view, meta, refs, tensors };
}

function byHash({ refs, tensors }: Head): [string, Float32Array][] {
  return refs.map(({ name, hash }) => [hash, tensors.get(name) as Float32Array]);
}

function toRef({ name, dtype, shape, hash }: ModelView['tensors'][number]): TensorRefMessage {
  must(isDtype(dtype), 'WEIGHTS_DTYPE', () => `${name}: expected F32, F16 or BF16, got ${dtype}`);
  return { name, dtype, shape, hash };
}
