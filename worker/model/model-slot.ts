import { decodeManifest, type Manifest } from '#shared/block/manifest.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { ModelRef, TensorRefMessage } from '#shared/protocol/worker.ts';
import { tensorBytes, toFloat32 } from '#shared/weights/dtype.ts';
import { type ModelConfig, parseConfigText } from '#shared/weights/model-config.ts';
import { modelRoot } from '#shared/weights/model-root.ts';
import type { PayloadFiles, PayloadSource } from '#worker/client/payload-cache.ts';
import { Model } from '#worker/model/model.ts';
import type { TensorFile } from '#worker/model/stored-tensor.ts';

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
  checkLength(tensor, bytes.length);
  return toFloat32(tensor.dtype, bytes);
}

/** The same, to be read in pieces; who takes it closes it. An abort ends what is being read of it. */
async function openTensor(
  payloads: PayloadFiles,
  tensor: TensorRefMessage,
  options: FetchOptions,
): Promise<TensorFile> {
  const { name, dtype, shape, hash } = tensor;
  const file = await payloads.open(hash, { ...options, maxBytes: tensorBytes(dtype, shape) });
  try {
    checkLength(tensor, file.bytes);
  } catch (error) {
    await file.close();
    throw error;
  }
  return {
    name,
    dtype,
    bytes: { length: file.bytes, read: file.read.bind(file), close: () => file.close() },
  };
}

function checkLength({ name, dtype, shape }: TensorRefMessage, bytes: number): void {
  const expected = tensorBytes(dtype, shape);
  must(bytes === expected, 'WEIGHTS_SHAPE', () => `${name}: expected ${expected} bytes, got ${bytes}`);
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

export interface SlotOptions {
  /** Weights in the backend's memory at most; a larger model is computed layer by layer. Default: the backend's. */
  readonly budgetBytes?: number | undefined;
}

/**
 * The one model that a process holds in its backend's memory. Going from one set of weights to another
 * fetches and copies only the tensors that differ, one after another, so that none is there twice.
 */
export class ModelSlot {
  readonly #payloads: PayloadSource & PayloadFiles;
  readonly #options: SlotOptions;
  #current: { model: Model; meta: MetaView } | undefined;
  /** Hashes of the tensors that the model has, by name. */
  readonly #held = new Map<string, string>();

  constructor(payloads: PayloadSource & PayloadFiles, options: SlotOptions = {}) {
    this.#payloads = payloads;
    this.#options = options;
  }

  /**
   * Makes these weights the current ones. BLOCK_ROOT where the tensors are not those of the root. After a failure
   * there are no current ones until the next call succeeds, which loads what is still missing.
   */
  async show(ref: ModelRef, options: FetchOptions = {}): Promise<{ model: Model; meta: MetaView }> {
    must(
      rootOf(ref.tensors) === ref.root,
      'BLOCK_ROOT',
      () => `model: expected tensors of root ${ref.root}, got those of ${rootOf(ref.tensors)}`,
    );
    if (this.#current?.meta.payload !== ref.metaPayload) return await this.#load(ref, options);
    const changed = ref.tensors.filter(({ name, hash }) => this.#held.get(name) !== hash);
    await this.#current.model.swap(this.#stream(changed, options));
    return this.#current;
  }

  async #load(ref: ModelRef, options: FetchOptions): Promise<{ model: Model; meta: MetaView }> {
    const meta = await fetchMeta(this.#payloads, ref.metaPayload, options);
    // The old one goes first: there may be no room for both.
    this.#current?.model.dispose();
    this.#current = undefined;
    this.#held.clear();
    const source = this.#stream(ref.tensors, options);
    const model = await Model.load(meta.config, source, this.#options.budgetBytes);
    this.#current = { model, meta };
    return this.#current;
  }

  /** The model takes a tensor when it asks for the next one; until then it has neither the old nor the new. */
  async *#stream(tensors: readonly TensorRefMessage[], options: FetchOptions): AsyncGenerator<TensorFile> {
    for (const tensor of tensors) {
      options.signal?.throwIfAborted();
      const stored = await openTensor(this.#payloads, tensor, options);
      this.#held.delete(tensor.name);
      yield stored;
      this.#held.set(tensor.name, tensor.hash);
    }
  }
}
