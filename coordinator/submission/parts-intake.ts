import { rm } from 'node:fs/promises';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import { ByteReader } from '#coordinator/submission/byte-reader.ts';
import { type Entrance, type IntakeParts, ofStore, type Upload } from '#coordinator/submission/entrance.ts';
import type { HashThread } from '#coordinator/submission/hash-thread.ts';
import type { Reception } from '#coordinator/submission/reception.ts';
import type { Room } from '#coordinator/submission/room.ts';
import type { Turns } from '#coordinator/submission/turns.ts';
import { UploadSession } from '#coordinator/submission/upload-session.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

export interface PartsOptions {
  readonly maxParts: number;
  /** An upload by parts of which nothing is heard for so long is forgotten. */
  readonly partsExpireMs: number;
}

/** How far an upload by parts is. */
export interface UploadState {
  readonly id: Uint8Array;
  /** Behind the header: in all, and received and durable. */
  readonly bytes: number;
  readonly received: number;
  readonly expiresAt: number;
  /** Once all is there, and in order. */
  readonly record?: SubmissionRecord;
}

const SWEEP_MS = 600_000;

/** What all uploads share. */
export interface PartsDependencies {
  readonly entrance: Entrance;
  readonly room: Room;
  readonly turns: Turns;
  readonly thread: HashThread;
}

/** Uploads by parts, which may go on days later and in another process. */
export class PartsIntake {
  readonly #options: PartsOptions;
  readonly #parts: IntakeParts;
  readonly #entrance: Entrance;
  readonly #room: Room;
  readonly #turns: Turns;
  readonly #thread: HashThread;
  readonly #sessions = new Map<string, UploadSession>();
  /** Who sends right now. */
  readonly #sending = new Map<string, Upload>();
  readonly #sweeper: NodeJS.Timeout;

  constructor(options: PartsOptions, parts: IntakeParts, shared: PartsDependencies) {
    this.#options = options;
    this.#parts = parts;
    this.#entrance = shared.entrance;
    this.#room = shared.room;
    this.#turns = shared.turns;
    this.#thread = shared.thread;
    this.#sweeper = setInterval(() => void this.#sweep().catch(() => undefined), SWEEP_MS);
    this.#sweeper.unref();
  }

  /** Takes up the uploads by parts that another process left. */
  async start(): Promise<void> {
    for (const folder of await this.#parts.spool.parts()) {
      const session = await UploadSession.open(folder, this.#thread).catch(() => undefined);
      if (!session || (await this.#parts.submissions.get(session.content.id))) {
        await rm(folder, { recursive: true, force: true });
        continue;
      }
      const { id, miner } = session.content;
      this.#take(session);
      this.#room.hold({ id, miner, bytes: session.reception.totalBytes, address: '' });
    }
    await this.#sweep();
  }

  /** After this nothing comes in; what is there stays. */
  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    for (const upload of this.#sending.values())
      upload.stop(new PoolError('UNAVAILABLE', 'the coordinator stops'));
    for (const [key, session] of this.#sessions) await this.#turns.run(key, () => session.close());
  }

  /** The submission came in one piece meanwhile. For its turn. */
  async forget(id: Uint8Array): Promise<void> {
    const session = this.#sessions.get(toHex(id));
    if (session) await this.#forget(session);
  }

  /**
   * Begins an upload by parts, from the header alone; where the same one was begun before, tells how far it is. The
   * record alone where the pool has the submission.
   */
  async begin(upload: Upload): Promise<{ state: UploadState; isNew: boolean }> {
    const reader = new ByteReader(upload.stream);
    const { signed } = await this.#entrance.header(reader);
    must(await reader.atEnd(), 'BAD_REQUEST', 'expected the header of the file and nothing behind it');
    const { id, manifest, header } = signed;
    const key = toHex(id);
    return this.#turns.run(key, async () => {
      const state = await this.state(id);
      if (state) return { state, isNew: false };
      const content = await this.#entrance.admit(signed);
      await this.#makeRoom();
      const { address } = upload;
      this.#room.takeParts({ id, miner: manifest.miner, bytes: header.dataBytes, address });
      try {
        const folder = await this.#parts.spool.beginParts(id);
        const session = await UploadSession.create(content, folder, this.#thread);
        session.lastMs = this.#parts.now();
        this.#take(session);
        return { state: this.#stateOf(session), isNew: true };
      } catch (error) {
        this.#room.release(id);
        throw ofStore(error);
      }
    });
  }

  /** How far an upload is. */
  async state(id: Uint8Array): Promise<UploadState | undefined> {
    const session = this.#sessions.get(toHex(id));
    if (session) return this.#stateOf(session);
    const record = await this.#parts.submissions.get(id);
    if (!record) return undefined;
    const bytes = record.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
    return { id, bytes, received: bytes, expiresAt: 0, record };
  }

  /**
   * Takes the bytes from `offset` on, which is where the ones received so far end (STATE with `received` elsewhere). What
   * came before the line broke stays. With the last byte it becomes a submission.
   */
  async append(id: Uint8Array, offset: number, upload: Upload): Promise<UploadState & { isNew: boolean }> {
    const key = toHex(id);
    // A client that comes again has lost its line, whatever the older connection believes.
    this.#sending.get(key)?.stop(new PoolError('STATE', 'the upload goes on over another connection'));
    return this.#turns.run(key, async () => {
      const session = this.#sessions.get(key);
      if (!session) {
        const state = await this.state(id);
        must(state, 'NOT_FOUND', 'there is no such upload: begin it again');
        return { ...state, isNew: false };
      }
      this.#sending.set(key, upload);
      try {
        await this.#appendTo(session, offset, upload);
        if (!session.reception.complete) return { ...this.#stateOf(session), isNew: false };
        const record = await this.#complete(session);
        return { ...((await this.state(id)) as UploadState), record, isNew: true };
      } finally {
        this.#sending.delete(key);
      }
    });
  }

  async #appendTo(session: UploadSession, offset: number, upload: Upload): Promise<void> {
    session.lastMs = this.#parts.now();
    try {
      await session.resume();
      checkPlace(session.reception, offset, upload);
      await session.reception.take(upload.stream);
      await session.save();
    } catch (error) {
      if (goesOn(error)) await this.#saveOrForget(session);
      else await this.#forget(session);
      throw ofStore(error);
    } finally {
      session.lastMs = this.#parts.now();
    }
  }

  async #saveOrForget(session: UploadSession): Promise<void> {
    try {
      await session.save();
    } catch {
      await this.#forget(session);
    }
  }

  async #complete(session: UploadSession): Promise<SubmissionRecord> {
    const { content, folder } = session;
    try {
      await session.close();
      const record = await this.#entrance.register(content, folder);
      this.#drop(session);
      return record;
    } catch (error) {
      await this.#forget(session);
      throw ofStore(error);
    }
  }

  #stateOf(session: UploadSession): UploadState {
    const { content, received, reception, lastMs } = session;
    const expiresAt = lastMs + this.#options.partsExpireMs;
    return { id: content.id, bytes: reception.totalBytes, received, expiresAt };
  }

  #take(session: UploadSession): void {
    this.#sessions.set(toHex(session.content.id), session);
    this.#entrance.underWay.add(session.content);
  }

  #drop(session: UploadSession): void {
    this.#entrance.underWay.delete(session.content);
    this.#sessions.delete(toHex(session.content.id));
    this.#room.release(session.content.id);
  }

  /** Without a trace. */
  async #forget(session: UploadSession): Promise<void> {
    this.#drop(session);
    await session.discard();
  }

  async #sweep(): Promise<void> {
    for (const [key, session] of this.#sessions) {
      const idle = () => this.#parts.now() - session.lastMs > this.#options.partsExpireMs;
      if (idle()) await this.#turns.run(key, async () => void (idle() && (await this.#forget(session))));
    }
  }

  /** Whoever begins goes before those of whom nothing was heard for long, so that idle uploads keep nobody out. */
  async #makeRoom(): Promise<void> {
    if (this.#sessions.size < this.#options.maxParts) return;
    const [key, oldest] = [...this.#sessions].sort(([, a], [, b]) => a.lastMs - b.lastMs)[0] as [
      string,
      UploadSession,
    ];
    if (this.#sending.has(key) || this.#parts.now() - oldest.lastMs < SWEEP_MS) return;
    await this.#turns.run(key, () => this.#forget(oldest));
  }
}

/** STATE, with the place to go on from, as nothing of these bytes is taken. */
function checkPlace({ received, totalBytes }: Reception, offset: number, { bytes = 0 }: Upload): void {
  must(offset === received, 'STATE', () => `expected bytes from ${received} on, got them from ${offset}`, {
    received,
  });
  must(
    offset + bytes <= totalBytes,
    'STATE',
    () => `expected at most ${totalBytes - offset} bytes more, but Content-Length says ${bytes}`,
    { received },
  );
}

/** Of these the client is not to blame for its bytes: what is there stays. */
function goesOn(error: unknown): boolean {
  if (!(error instanceof PoolError)) return false;
  return ['WEIGHTS_TRUNCATED', 'TIMEOUT', 'STATE', 'UNAVAILABLE', 'TOO_LARGE'].includes(error.code);
}
