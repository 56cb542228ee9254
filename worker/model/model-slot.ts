import { decodeManifest, type Manifest } from '#shared/block/manifest.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { ModelRef, TensorRefMessage } from '#shared/protocol/worker.ts';
import { tensorBytes, toFloat32 } from '#shared/weights/dtype.ts';
import { type ModelConfig, parseConfigText } from '#shared/weights/model-config.ts';
import { modelRoot } from '#shared/weights/model-root.ts';
import type { PayloadSource } from '#worker/client/payload-cache.ts';
import { Model } from '#worker/model/model.ts';
import { fromValues } from '#worker/model/weight-set.ts';

export interface FetchOptions {
  readonly bearer?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A Meta block's payload, read. */
export interface MetaView {
  readonly payload: string;
  readonly manifest: Manifest;
  readonly config: ModelConfig;
}

/** A Meta payload holds the public shards and the tokenizer: megabytes. */
const MAX_META_BYTES = 512 * 1024 * 1024;

export async function fetchMeta(
  payloads: PayloadSource,
  payload: string,
  options: FetchOptions,
): Promise<MetaView> {
  const manifest = decodeManifest(await payloads.get(payload, { ...options, maxBytes: MAX_META_BYTES }));
  return { payload, manifest, config: parseConfigText(manifest.config) };
}

/** One tensor's values. The size follows from its shape, so no more than that is fetched. */
export async function fetchTensor(
  payloads: PayloadSource,
  tensor: TensorRefMessage,
  options: FetchOptions,
): Promise<Float32Array> {
  const maxBytes = tensorBytes(tensor.dtype, tensor.shape);
  const bytes = await payloads.get(tensor.hash, { ...options, maxBytes });
  must(
    bytes.length === maxBytes,
    'WEIGHTS_SHAPE',
    () => `${tensor.name}: expected ${maxBytes} bytes, got ${bytes.length}`,
  );
  return toFloat32(tensor.dtype, bytes);
}

/** The model root of tensors as they are named on the wire, in hex. PROTOCOL §6. */
export function rootOf(tensors: readonly TensorRefMessage[]): string {
  return toHex(modelRoot(tensors.map((t) => ({ ...t, payloadHash: fromHex(t.hash, 32) }))));
}

/** `model` with some tensors of the same names replaced. */
export function withTensors(model: ModelRef, changed: readonly TensorRefMessage[], root: string): ModelRef {
  const byName = new Map(changed.map((tensor) => [tensor.name, tensor]));
  const tensors = model.tensors.map((tensor) => byName.get(tensor.name) ?? tensor);
  const known = new Set(model.tensors.map(({ name }) => name));
  for (const { name } of changed) {
    must(known.has(name), 'WEIGHTS_NAMES', () => `${JSON.stringify(name)}: not a tensor of the model`);
  }
  return { ...model, tensors, root };
}

/**
 * The one model that a process holds in its backend's memory. Going from one set of weights to another
 * fetches and copies only the tensors that differ.
 */
export class ModelSlot {
  readonly #payloads: PayloadSource;
  #meta: MetaView | undefined;
  #model: Model | undefined;
  /** Hashes of the tensors that the backend holds, by name. */
  #held = new Map<string, string>();

  constructor(payloads: PayloadSource) {
    this.#payloads = payloads;
  }

  /**
   * Makes these weights the current ones. BLOCK_ROOT where the tensors are not those of the root. After a
   * failure the slot holds what it held before.
   */
  async show(ref: ModelRef, options: FetchOptions = {}): Promise<{ model: Model; meta: MetaView }> {
    must(
      rootOf(ref.tensors) === ref.root,
      'BLOCK_ROOT',
      () => `model: expected tensors of root ${ref.root}, got those of ${rootOf(ref.tensors)}`,
    );
    const meta = await this.#metaOf(ref, options);
    const fresh = meta === this.#meta && this.#model !== undefined ? this.#held : new Map<string, string>();
    const missing = ref.tensors.filter(({ name, hash }) => fresh.get(name) !== hash);
    const values = await this.#fetchAll(missing, options);
    const model = await this.#put(meta, values, fresh.size > 0);
    this.#held = new Map(ref.tensors.map(({ name, hash }) => [name, hash]));
    return { model, meta };
  }

  async #metaOf(ref: ModelRef, options: FetchOptions): Promise<MetaView> {
    if (this.#meta?.payload === ref.metaPayload) return this.#meta;
    return fetchMeta(this.#payloads, ref.metaPayload, options);
  }

  async #fetchAll(
    tensors: readonly TensorRefMessage[],
    options: FetchOptions,
  ): Promise<Map<string, Float32Array>> {
    const values = new Map<string, Float32Array>();
    for (const tensor of tensors) {
      options.signal?.throwIfAborted();
      values.set(tensor.name, await fetchTensor(this.#payloads, tensor, options));
    }
    return values;
  }

  async #put(meta: MetaView, values: ReadonlyMap<string, Float32Array>, swap: boolean): Promise<Model> {
    if (swap && this.#model) {
      await this.#model.swap(fromValues(values));
      return this.#model;
    }
    const model = await Model.load(meta.config, fromValues(values));
    this.#model?.dispose();
    this.#model = model;
    this.#meta = meta;
    return model;
  }
}
