import type { ModelView } from '#shared/api/schemas.ts';
import { decodeManifest, type Manifest } from '#shared/block/manifest.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { isDtype, tensorBytes } from '#shared/weights/dtype.ts';
import { modelRoot, type TensorRef } from '#shared/weights/model-root.ts';
import { safetensorsHeader } from '#shared/weights/safetensors.ts';
import { onBlock } from '#worker/audit/finding.ts';
import { hubFiles } from '#worker/audit/hub-files.ts';
import { NewFolder } from '#worker/audit/new-folder.ts';
import { readMetaPayload, verified } from '#worker/audit/payloads.ts';
import type { Progress } from '#worker/audit/progress.ts';
import { type AuditSource, blocksOf } from '#worker/audit/source.ts';

export interface ExportOptions {
  readonly dir: string;
  /** Replace files in a folder that is not empty. */
  readonly force: boolean;
}

export interface ExportedModel {
  readonly dir: string;
  readonly network: string;
  readonly name: string;
  readonly height: number;
  readonly root: string;
  readonly tensors: number;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}

const WEIGHTS_FILE = 'model.safetensors';

/**
 * Writes the model at the head as a Hugging Face folder: the Meta block's files, and the tensors' bytes as they
 * stand on the chain, streamed. The bytes of every payload and the model root are checked; `aiblock verify` tells
 * whether the chain behind them holds. Nothing stands in the folder before all of it is there.
 */
export async function exportModel(
  options: ExportOptions,
  { source, progress, signal }: { source: AuditSource; progress: Progress; signal: AbortSignal },
): Promise<ExportedModel> {
  const folder = await NewFolder.begin(options.dir, options.force);
  try {
    const view = await source.model();
    const manifest = await manifestOf(source, view);
    for (const [name, text] of hubFiles(manifest)) await folder.write(name, [new TextEncoder().encode(text)]);
    await folder.write(WEIGHTS_FILE, weights(view, { source, progress, signal }));
    await folder.publish();
    const { network, name, root } = view;
    const { dir, files } = folder;
    return { dir, network, name, height: view.head.index, root, tensors: view.tensors.length, files };
  } finally {
    progress.end();
    await folder.discard();
  }
}

/** The manifest of the Meta block that the model names, by its hashes. */
async function manifestOf(source: AuditSource, { meta }: ModelView): Promise<Manifest> {
  for await (const block of blocksOf(source, 'A', meta.index)) {
    const { index, payloadHash } = block.header;
    onBlock('A', index, () =>
      must(
        toHex(block.hash) === meta.hash && toHex(payloadHash) === meta.payload_hash,
        'BLOCK_HASH',
        `GET /model names the block ${meta.hash}, the chain has ${toHex(block.hash)}`,
      ),
    );
    const payload = await readMetaPayload(source, block.header);
    return onBlock('A', index, () => decodeManifest(payload));
  }
  throw new PoolError('BLOCK_LINK', `GET /model names block A${meta.index}, which the chain does not have`);
}

/** The file: its header, then the tensors in name order. */
async function* weights(
  view: ModelView,
  { source, progress, signal }: { source: AuditSource; progress: Progress; signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  const tensors = view.tensors.map(toRef);
  must(
    toHex(modelRoot(tensors)) === view.root,
    'BLOCK_ROOT',
    `GET /model: expected tensors of root ${view.root}, got those of ${toHex(modelRoot(tensors))}`,
  );
  const { header, order, totalBytes } = safetensorsHeader(tensors, {
    format: 'pt',
    aiblock_network: view.network,
    aiblock_height: String(view.head.index),
    aiblock_root: view.root,
  });
  progress.begin(WEIGHTS_FILE, totalBytes);
  let written = header.length;
  yield header;
  for (const { payloadHash, dtype, shape, height } of order) {
    const claim = {
      chainId: 'B',
      index: height,
      payloadHash,
      payloadBytes: tensorBytes(dtype, shape),
    } as const;
    for await (const piece of verified(source, claim)) {
      signal.throwIfAborted();
      yield piece;
      written += piece.length;
      progress.done(written);
    }
  }
}

function toRef({
  name,
  dtype,
  shape,
  hash,
  height,
}: ModelView['tensors'][number]): TensorRef & { height: number } {
  must(isDtype(dtype), 'WEIGHTS_DTYPE', () => `${name}: expected F32, F16 or BF16, got ${dtype}`);
  return { name, dtype, shape, payloadHash: fromHex(hash, 32), height };
}
