import { join } from 'node:path';
import type { Chain } from '#coordinator/chain/chain.ts';
import type { SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import { ByteReader } from '#coordinator/submission/byte-reader.ts';
import { receiveTensor } from '#coordinator/submission/receive-tensor.ts';
import type { Spool } from '#coordinator/submission/spool.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import {
  SUBMISSION_METADATA_KEY,
  type SubmissionManifest,
  type SubmittedTensor,
  verifySubmission,
} from '#shared/protocol/submission.ts';
import { tensorBytes } from '#shared/weights/dtype.ts';
import {
  headerLength,
  parseSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from '#shared/weights/safetensors.ts';

export interface IntakeOptions {
  /** Submissions that may wait at once, from everybody and from one key. */
  readonly maxPending: number;
  readonly maxPendingPerMiner: number;
}

export const INTAKE_DEFAULTS: IntakeOptions = { maxPending: 64, maxPendingPerMiner: 8 };

export interface Upload {
  readonly stream: AsyncIterable<Uint8Array>;
  /** Content-Length, where the client gave one. */
  readonly bytes: number | undefined;
  /** `POST /mine` takes exactly one tensor. */
  readonly single: boolean;
}

/**
 * The first stage. Everything that can be refused is refused from the safetensors header, before a byte of weights is
 * read; then the tensors stream to disk while they are hashed and checked. What is acknowledged is durable.
 */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #chain: Chain;
  readonly #submissions: Submissions;
  readonly #spool: Spool;
  /** Ids that are being received right now: the same content twice at once is received once. */
  readonly #running = new Map<string, { miner: Uint8Array; receiving: Promise<SubmissionRecord> }>();

  constructor(options: IntakeOptions, parts: { chain: Chain; submissions: Submissions; spool: Spool }) {
    this.#options = options;
    this.#chain = parts.chain;
    this.#submissions = parts.submissions;
    this.#spool = parts.spool;
  }

  /** Receives a signed safetensors stream. The same content again gives the same record, and `isNew` false. */
  async receive(upload: Upload): Promise<{ record: SubmissionRecord; isNew: boolean }> {
    const reader = new ByteReader(upload.stream);
    const length = headerLength(await reader.exactly(8));
    const header = parseSafetensorsHeader(await reader.exactly(length));
    const { id, manifest } = this.#checkHeader(header, { ...upload, headerBytes: 8 + length });
    const key = toHex(id);
    // No await between look and claim: the same content twice at once is received once.
    for (let before = this.#running.get(key); before; before = this.#running.get(key)) {
      const record = await before.receiving.catch(() => undefined);
      if (record) return { record, isNew: false };
    }
    const receiving = this.#receiveNew(reader, { id, manifest, header });
    this.#running.set(key, { miner: manifest.miner, receiving: receiving.then(({ record }) => record) });
    this.#running.get(key)?.receiving.catch(() => undefined);
    try {
      return await receiving;
    } finally {
      this.#running.delete(key);
    }
  }

  async #receiveNew(
    reader: ByteReader,
    content: { id: Uint8Array; manifest: SubmissionManifest; header: SafetensorsHeader },
  ): Promise<{ record: SubmissionRecord; isNew: boolean }> {
    const { id, manifest } = content;
    const known = await this.#submissions.get(id);
    if (known) return { record: known, isNew: false };
    const changed = await this.#changedTensors(manifest);
    this.#checkRoom(id, manifest.miner);
    return { record: await this.#store(reader, { ...content, changed }), isNew: true };
  }

  /** Everything the header alone can tell. */
  #checkHeader(
    header: SafetensorsHeader,
    upload: Upload & { headerBytes: number },
  ): { id: Uint8Array; manifest: SubmissionManifest } {
    const total = upload.headerBytes + header.dataBytes;
    must(
      upload.bytes === undefined || upload.bytes === total,
      'WEIGHTS_HEADER',
      () => `expected ${total} bytes by the header, but Content-Length says ${upload.bytes}`,
    );
    must(
      !upload.single || header.entries.length === 1,
      'WEIGHTS_NAMES',
      () => `expected exactly one tensor, got ${header.entries.length}`,
    );
    for (const entry of header.entries) this.#checkEntry(entry);
    const text = header.metadata.get(SUBMISSION_METADATA_KEY);
    must(
      text !== undefined,
      'BAD_REQUEST',
      `expected the signed manifest under ${SUBMISSION_METADATA_KEY} in __metadata__`,
    );
    // Each signature costs a millisecond: no more of them are looked at than there are tensors.
    const verified = verifySubmission(this.#chain.networkId, text, header.entries.length);
    checkSameTensors(header.entries, verified.manifest.tensors);
    must(
      equalBytes(verified.manifest.meta, this.#chain.meta.hash),
      'SUBMISSION_META',
      () => `expected Meta block ${toHex(this.#chain.meta.hash)}, got ${toHex(verified.manifest.meta)}`,
    );
    return verified;
  }

  #checkEntry(entry: SafetensorsEntry): void {
    const ours = this.#chain.sealed.tensors.get(entry.name);
    must(ours, 'WEIGHTS_NAMES', () => `the model has no tensor ${JSON.stringify(entry.name.slice(0, 100))}`);
    must(
      ours.dtype === entry.dtype,
      'WEIGHTS_DTYPE',
      () => `${entry.name}: expected ${ours.dtype}, got ${entry.dtype}`,
    );
    must(
      ours.shape.length === entry.shape.length && ours.shape.every((n, i) => n === entry.shape[i]),
      'WEIGHTS_SHAPE',
      () => `${entry.name}: expected [${ours.shape.join(', ')}], got [${entry.shape.join(', ')}]`,
    );
  }

  /** The tensors that differ from the head; one that stands elsewhere on the chain was paid for already. */
  async #changedTensors(manifest: SubmissionManifest): Promise<SubmittedTensor[]> {
    const base = await this.#chain.rootHeight(manifest.base);
    must(
      base !== undefined,
      'SUBMISSION_BASE',
      () => `the chain never had the model root ${toHex(manifest.base)}`,
    );
    const head = this.#chain.sealed.tensors;
    const changed = manifest.tensors.filter(
      (t) => !equalBytes(t.payloadHash, (head.get(t.name) as { payloadHash: Uint8Array }).payloadHash),
    );
    must(changed.length > 0, 'WEIGHTS_UNCHANGED', 'every tensor equals the one at the head');
    const hashes = new Set<string>();
    for (const tensor of changed) {
      const height = await this.#chain.payloadHeight(tensor.payloadHash);
      must(
        height === undefined,
        'PAYLOAD_KNOWN',
        () => `${tensor.name}: these bytes are already block B${height}`,
      );
      must(
        !hashes.has(toHex(tensor.payloadHash)),
        'PAYLOAD_KNOWN',
        `${tensor.name}: the same bytes stand twice`,
      );
      hashes.add(toHex(tensor.payloadHash));
    }
    return changed;
  }

  /** What is being received counts as waiting, so that slow uploads are no way around the limits. */
  #checkRoom(id: Uint8Array, miner: Uint8Array): void {
    const others = [...this.#running].filter(([key]) => key !== toHex(id)).map(([, other]) => other);
    const waiting = [...this.#submissions.pending(), ...others];
    const own = waiting.filter((one) => equalBytes(one.miner, miner)).length;
    must(
      waiting.length < this.#options.maxPending,
      'QUEUE_FULL',
      `${waiting.length} submissions are waiting; try again later`,
    );
    must(
      own < this.#options.maxPendingPerMiner,
      'TOO_MANY_REQUESTS',
      `this key has ${own} submissions waiting, expected fewer than ${this.#options.maxPendingPerMiner}`,
    );
  }

  async #store(
    reader: ByteReader,
    {
      id,
      manifest,
      header,
      changed,
    }: {
      id: Uint8Array;
      manifest: SubmissionManifest;
      header: SafetensorsHeader;
      changed: readonly SubmittedTensor[];
    },
  ): Promise<SubmissionRecord> {
    const upload = await this.#spool.begin();
    try {
      const byName = new Map(manifest.tensors.map((t) => [t.name, t]));
      const kept = new Set(changed.map((t) => t.name));
      for (const entry of header.entries) {
        const tensor = byName.get(entry.name) as SubmittedTensor;
        const file = kept.has(entry.name) ? join(upload.path, toHex(tensor.payloadHash)) : null;
        await receiveTensor(tensor, reader.pieces(entry.end - entry.start), file);
      }
      must(await reader.atEnd(), 'WEIGHTS_HEADER', 'there are bytes behind the last tensor');
      await upload.keep(
        id,
        changed.map((t) => t.payloadHash),
      );
      return await this.#submissions.add({
        id,
        miner: manifest.miner,
        base: manifest.base,
        meta: manifest.meta,
        tensors: changed.map((t) => ({ ...t, shape: [...t.shape], bytes: tensorBytes(t.dtype, t.shape) })),
      });
    } catch (error) {
      await upload.discard();
      throw error instanceof PoolError
        ? error
        : new PoolError('STORE_IO', 'the upload could not be stored', {}, { cause: error });
    }
  }
}

/** The signed list and the file must name the same tensors in the same form. */
function checkSameTensors(entries: readonly SafetensorsEntry[], signed: readonly SubmittedTensor[]): void {
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  must(
    byName.size === signed.length && new Set(signed.map((t) => t.name)).size === signed.length,
    'WEIGHTS_NAMES',
    () => `expected the ${entries.length} tensors of the file to be signed, got ${signed.length}`,
  );
  for (const tensor of signed) {
    const entry = byName.get(tensor.name);
    must(
      entry && entry.dtype === tensor.dtype && entry.shape.join() === tensor.shape.join(),
      'WEIGHTS_NAMES',
      () => `${JSON.stringify(tensor.name.slice(0, 100))} is signed in another form than the file has`,
    );
  }
}
