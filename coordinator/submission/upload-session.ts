import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import type { Admitted } from '#coordinator/submission/admission.ts';
import type { HashThread } from '#coordinator/submission/hash-thread.ts';
import { Reception } from '#coordinator/submission/reception.ts';
import { type CborValue, decodeCborAs, encodeCbor, zBytes, zUint } from '#shared/block/cbor.ts';
import { sortByName } from '#shared/weights/model-root.ts';

const contentSchema = z.strictObject({
  v: z.literal(1),
  id: zBytes(32),
  miner: zBytes(33),
  base: zBytes(32),
  meta: zBytes(32),
  /** When it may say that it had these bytes: see `claims`. Unix milliseconds. */
  claimedAt: zUint,
  tensors: z.array(
    z.strictObject({
      tensor: z.strictObject({
        name: z.string(),
        dtype: z.enum(['F32', 'F16', 'BF16']),
        shape: z.array(zUint),
        payloadHash: zBytes(32),
        signature: zBytes(64),
      }),
      bytes: zUint,
      use: z.enum(['keep', 'check', 'skip']),
    }),
  ),
});

/** What the header said, as it was when it was admitted: the head may move while the bytes come. */
export type UploadContent = Readonly<z.infer<typeof contentSchema>>;

/** Made last: a folder without it is a leftover. */
export const SESSION_FILE = 'session';
/** Bytes received and durable, in so many digits: written in place, within one sector of any disk. */
const RECEIVED_FILE = 'received';
const RECEIVED_DIGITS = 16;

export function contentOf(admitted: Admitted, claimedAt: number): UploadContent {
  const { id, manifest, tensors } = admitted;
  const { miner, base, meta } = manifest;
  return {
    ...{ v: 1, id, miner, base, meta, claimedAt },
    tensors: tensors.map((t) => ({ ...t, tensor: { ...t.tensor, shape: [...t.tensor.shape] } })),
  };
}

/** The tensors that differ from the head, as the record of the submission lists them. */
export function recordTensors({ tensors }: UploadContent): SubmissionRecord['tensors'] {
  const changed = tensors.filter(({ use }) => use !== 'skip');
  return sortByName(changed.map(({ tensor, bytes }) => ({ ...tensor, bytes })));
}

/** A submission that comes by parts: what it is, and what is there, survive the process. */
export class UploadSession {
  readonly content: UploadContent;
  readonly folder: string;
  readonly reception: Reception;
  readonly #progress: FileHandle;
  /** What a new process starts from. */
  #durable = 0;
  lastMs: number;

  private constructor(
    content: UploadContent,
    folder: string,
    parts: { thread: HashThread; progress: FileHandle },
  ) {
    this.content = content;
    this.folder = folder;
    this.reception = new Reception(content.tensors, folder, parts.thread);
    this.#progress = parts.progress;
    this.lastMs = 0;
  }

  static async create(content: UploadContent, folder: string, thread: HashThread): Promise<UploadSession> {
    const session = new UploadSession(content, folder, {
      thread,
      progress: await open(join(folder, RECEIVED_FILE), 'w'),
    });
    await session.save();
    const file = await open(join(folder, SESSION_FILE), 'w');
    try {
      await file.writeFile(encodeCbor(content as unknown as CborValue));
      await file.sync();
    } finally {
      await file.close();
    }
    return session;
  }

  /** As another process left it. BLOCK_ENCODING, or an error of the file system, where it left no whole session. */
  static async open(folder: string, thread: HashThread): Promise<UploadSession> {
    const content = decodeCborAs(
      contentSchema,
      await readFile(join(folder, SESSION_FILE)),
      'Upload',
    ) as UploadContent;
    const received = Number(await readFile(join(folder, RECEIVED_FILE), 'utf8'));
    const progress = await open(join(folder, RECEIVED_FILE), 'r+');
    const session = new UploadSession(content, folder, { thread, progress });
    session.lastMs = (await progress.stat()).mtimeMs;
    session.#durable = Number.isSafeInteger(received) ? received : 0;
    return session;
  }

  /** Bytes that need not be sent again. */
  get received(): number {
    return Math.max(this.#durable, this.reception.received);
  }

  /** Before the first bytes of this process. */
  async resume(): Promise<void> {
    if (this.reception.received < this.#durable) await this.reception.resume(this.#durable);
    this.#durable = 0;
  }

  /** What was received so far is durable when it resolves. */
  async save(): Promise<void> {
    await this.reception.flush();
    const text = String(this.reception.resumable).padStart(RECEIVED_DIGITS, '0');
    await this.#progress.write(text, 0);
    await this.#progress.datasync();
  }

  /** Leaves what is needed to go on. */
  async close(): Promise<void> {
    await this.reception.close();
    await this.#progress.close();
  }

  async discard(): Promise<void> {
    await this.close().catch(() => undefined);
    await rm(this.folder, { recursive: true, force: true });
  }
}
