import type { ModelView } from '#shared/api/schemas.ts';
import { decodeManifest, type Manifest } from '#shared/block/manifest.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { isDtype, tensorBytes } from '#shared/weights/dtype.ts';
import { modelRoot, sortByName, type TensorRef } from '#shared/weights/model-root.ts';
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
  /** Bytes of tensors in one file, unless a single one has more; 5 GB unless given. */
  readonly maxFileBytes?: number;
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

/** As transformers cuts: what some file systems and proxies still carry in one piece. */
const MAX_FILE_BYTES = 5_000_000_000;
const INDEX = 'model.safetensors.index.json';
const WEIGHT_FILES = /^model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$/;

/**
 * Writes the model at the head as a Hugging Face folder: the Meta block's files, and the tensors' bytes as they
 * stand on the chain, streamed. The bytes of every payload and the model root are checked; `aiblock verify` tells
 * whether the chain behind them holds. Nothing stands in the folder before all of it is there.
 */
export async function exportModel(
  { dir: path, force, maxFileBytes = MAX_FILE_BYTES }: ExportOptions,
  { source, progress, signal }: { source: AuditSource; progress: Progress; signal: AbortSignal },
): Promise<ExportedModel> {
  const folder = await NewFolder.begin(path, force);
  try {
    const view = await source.model();
    const manifest = await manifestOf(source, view);
    for (const [name, text] of hubFiles(manifest)) await folder.write(name, [new TextEncoder().encode(text)]);
    await writeWeights(folder, { view, maxFileBytes }, { source, progress, signal });
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

interface Reading {
  readonly source: AuditSource;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

type HeadTensor = TensorRef & { readonly height: number };

/** One safetensors file, or several and their index. */
async function writeWeights(
  folder: NewFolder,
  { view, maxFileBytes }: { view: ModelView; maxFileBytes: number },
  { source, progress, signal }: Reading,
): Promise<void> {
  const tensors = sortByName(view.tensors.map(toRef));
  must(
    toHex(modelRoot(tensors)) === view.root,
    'BLOCK_ROOT',
    `GET /model: expected tensors of root ${view.root}, got those of ${toHex(modelRoot(tensors))}`,
  );
  const totalBytes = tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  progress.begin('weights', totalBytes);
  let written = 0;
  const reading = {
    source,
    onPiece: (bytes: number) => {
      signal.throwIfAborted();
      written += bytes;
      progress.done(written);
    },
  };
  const files = weightFiles(tensors, maxFileBytes);
  const names = files.size === 1 ? [...files.keys()] : [...files.keys(), INDEX];
  // Of an older export in one file or in other parts, whoever loads the folder would read the wrong weights.
  folder.refuseOthers(WEIGHT_FILES, names);
  for (const [name, part] of files) await folder.write(name, safetensors(part, view, reading));
  if (files.size === 1) return;
  const weightMap = Object.fromEntries([...files].flatMap(([name, part]) => part.map((t) => [t.name, name])));
  const index = { metadata: { total_size: totalBytes }, weight_map: weightMap };
  await folder.write(INDEX, [new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`)]);
}

/** File name → its tensors, in name order, as transformers names the parts of a checkpoint. */
function weightFiles(tensors: readonly HeadTensor[], maxBytes: number): Map<string, HeadTensor[]> {
  const parts: HeadTensor[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const tensor of tensors) {
    bytes += bytesOf(tensor);
    if (bytes > maxBytes) {
      parts.push([]);
      bytes = bytesOf(tensor);
    }
    parts.at(-1)?.push(tensor);
  }
  const number = (n: number) => String(n).padStart(5, '0');
  const nameOf = (i: number) => `model-${number(i + 1)}-of-${number(parts.length)}.safetensors`;
  return new Map(parts.map((part, i) => [parts.length === 1 ? 'model.safetensors' : nameOf(i), part]));
}

/** A file: its header, then the tensors in name order. */
async function* safetensors(
  tensors: readonly HeadTensor[],
  view: ModelView,
  { source, onPiece }: { source: AuditSource; onPiece: (bytes: number) => void },
): AsyncGenerator<Uint8Array> {
  const { header, order } = safetensorsHeader(tensors, {
    format: 'pt',
    aiblock_network: view.network,
    aiblock_height: String(view.head.index),
    aiblock_root: view.root,
  });
  yield header;
  for (const tensor of order) {
    const { payloadHash, height: index } = tensor;
    const claim = { chainId: 'B', index, payloadHash, payloadBytes: bytesOf(tensor) } as const;
    for await (const piece of verified(source, claim)) {
      onPiece(piece.length);
      yield piece;
    }
  }
}

const bytesOf = ({ dtype, shape }: HeadTensor): number => tensorBytes(dtype, shape);

function toRef({ name, dtype, shape, hash, height }: ModelView['tensors'][number]): HeadTensor {
  must(isDtype(dtype), 'WEIGHTS_DTYPE', () => `${name}: expected F32, F16 or BF16, got ${dtype}`);
  return { name, dtype, shape, payloadHash: fromHex(hash, 32), height };
}
