import { rm } from 'node:fs/promises';
import type { Chain } from '#coordinator/chain/chain.ts';
import type { Claims } from '#coordinator/store/claims.ts';
import type { SubmissionRecord, Submissions } from '#coordinator/store/submissions.ts';
import {
  admit,
  checkBase,
  checkNew,
  maxHeaderBytes,
  type Signed,
  verifyHeader,
} from '#coordinator/submission/admission.ts';
import { ByteReader } from '#coordinator/submission/byte-reader.ts';
import { HashThread } from '#coordinator/submission/hash-thread.ts';
import { Reception } from '#coordinator/submission/reception.ts';
import { type Claimant, claimantOf, claimantOfRecord, outclaimed } from '#coordinator/submission/rivals.ts';
import { type IntakeLimits, Room } from '#coordinator/submission/room.ts';
import type { Spool } from '#coordinator/submission/spool.ts';
import { Turns } from '#coordinator/submission/turns.ts';
import {
  contentOf,
  recordTensors,
  type UploadContent,
  UploadSession,
} from '#coordinator/submission/upload-session.ts';
import { equalBytes, toHex } from '#shared/crypto/bytes.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { claimOf } from '#shared/protocol/submission.ts';
import { headerLength, parseSafetensorsHeader } from '#shared/weights/safetensors.ts';

export interface IntakeOptions extends IntakeLimits {
  /** An upload by parts of which nothing is heard for so long is forgotten. */
  readonly partsExpireMs: number;
}

export const INTAKE_DEFAULTS: IntakeOptions = {
  maxPending: 64,
  maxPendingPerMiner: 8,
  maxParts: 256,
  maxPartsPerMiner: 4,
  maxPartsPerAddress: 8,
  maxBytes: 256 * 1024 ** 3,
  maxBytesPerMiner: 64 * 1024 ** 3,
  maxBytesPerAddress: 64 * 1024 ** 3,
  partsExpireMs: 24 * 3_600_000,
};

const SWEEP_MS = 600_000;
/** Of names that the model has not, so many are read that the refusal can tell one. */
const MORE_TENSORS = 2;

/** A body on its way in. */
export interface Upload {
  readonly stream: AsyncIterable<Uint8Array>;
  /** Content-Length, where the client gave one. */
  readonly bytes: number | undefined;
  /** Whose it is, as far as the network tells. */
  readonly address: string;
  /** Ends the stream with this error. */
  stop(error: PoolError): void;
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

export interface IntakeParts {
  readonly chain: Chain;
  readonly submissions: Submissions;
  readonly spool: Spool;
  readonly claims: Pick<Claims, 'timeOf'>;
  readonly now: () => number;
}

export interface IntakeEvents {
  /** Another key had claimed its bytes before: it has to go. */
  onOutclaimed(record: SubmissionRecord): Promise<void>;
}

/**
 * The first stage. Everything that can be refused is refused from the safetensors header, before a byte of weights is
 * read; then the tensors stream to disk while they are hashed and checked: in one piece, of which nothing stays where
 * it breaks off, or by parts, which may go on days later and in another process. What is acknowledged is durable.
 */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #parts: IntakeParts;
  readonly #events: IntakeEvents;
  readonly #thread = new HashThread();
  readonly #room: Room;
  /** One at a time of the same submission: the same content twice at once is received once. */
  readonly #turns = new Turns();
  readonly #sessions = new Map<string, UploadSession>();
  /** What comes in one piece right now. */
  readonly #whole = new Set<UploadContent>();
  /** Who sends to a session right now. */
  readonly #sending = new Map<string, Upload>();
  readonly #sweeper: NodeJS.Timeout;

  constructor(options: IntakeOptions, parts: IntakeParts, events: IntakeEvents) {
    this.#options = options;
    this.#parts = parts;
    this.#events = events;
    this.#room = new Room(options, parts.submissions);
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
      this.#sessions.set(toHex(id), session);
      this.#room.hold({ id, miner, bytes: session.reception.totalBytes, address: '' });
    }
    await this.#sweep();
  }

  /** After this nothing comes in; uploads by parts stay. */
  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    for (const upload of this.#sending.values())
      upload.stop(new PoolError('UNAVAILABLE', 'the coordinator stops'));
    for (const [key, session] of this.#sessions) await this.#turns.run(key, () => session.close());
    await this.#thread.close();
  }

  /**
   * Receives a signed safetensors stream; `single` demands exactly one tensor. The same content again gives the same
   * record, and `isNew` false.
   */
  async receive(upload: Upload, single: boolean): Promise<{ record: SubmissionRecord; isNew: boolean }> {
    const reader = new ByteReader(upload.stream);
    const { signed, headerBytes } = await this.#header(reader);
    const { id, header, manifest } = signed;
    const total = headerBytes + header.dataBytes;
    must(
      upload.bytes === undefined || upload.bytes === total,
      'WEIGHTS_HEADER',
      () => `expected ${total} bytes by the header, but Content-Length says ${upload.bytes}`,
    );
    must(
      !single || header.entries.length === 1,
      'WEIGHTS_NAMES',
      () => `expected exactly one tensor, got ${header.entries.length}`,
    );
    return this.#turns.run(toHex(id), async () => {
      const known = await this.#parts.submissions.get(id);
      if (known) return { record: known, isNew: false };
      const content = await this.#admit(signed);
      const free = this.#room.take({
        ...{ id, miner: manifest.miner },
        ...{ bytes: header.dataBytes, address: upload.address },
      });
      this.#whole.add(content);
      try {
        return { record: await this.#receiveWhole(reader, content), isNew: true };
      } finally {
        this.#whole.delete(content);
        free();
      }
    });
  }

  async #receiveWhole(reader: ByteReader, content: UploadContent): Promise<SubmissionRecord> {
    const folder = await this.#parts.spool.begin();
    const reception = new Reception(content.tensors, folder, this.#thread);
    try {
      await reception.take(reader.rest());
      checkComplete(reception);
      await reception.flush();
      await reception.close();
      const record = await this.#register(content, folder);
      const session = this.#sessions.get(toHex(content.id));
      if (session) await this.#forget(session);
      return record;
    } catch (error) {
      await reception.close();
      await rm(folder, { recursive: true, force: true });
      throw ofStore(error);
    }
  }

  /**
   * Begins an upload by parts, from the header alone; where the same one was begun before, tells how far it is. The
   * record alone where the pool has the submission.
   */
  async begin(upload: Upload): Promise<{ state: UploadState; isNew: boolean }> {
    const reader = new ByteReader(upload.stream);
    const { signed } = await this.#header(reader);
    must(await reader.atEnd(), 'BAD_REQUEST', 'expected the header of the file and nothing behind it');
    const { id, manifest, header } = signed;
    const key = toHex(id);
    return this.#turns.run(key, async () => {
      const state = await this.state(id);
      if (state) return { state, isNew: false };
      const content = await this.#admit(signed);
      await this.#makeRoom();
      const { address } = upload;
      this.#room.takeParts({ id, miner: manifest.miner, bytes: header.dataBytes, address });
      try {
        const folder = await this.#parts.spool.beginParts(id);
        const session = await UploadSession.create(content, folder, this.#thread);
        session.lastMs = this.#parts.now();
        this.#sessions.set(key, session);
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
      if (goesOn(error)) await session.save();
      else await this.#forget(session);
      throw ofStore(error);
    } finally {
      session.lastMs = this.#parts.now();
    }
  }

  async #complete(session: UploadSession): Promise<SubmissionRecord> {
    const { content, folder } = session;
    try {
      await session.close();
      const record = await this.#register(content, folder);
      this.#drop(session);
      return record;
    } catch (error) {
      await this.#forget(session);
      throw ofStore(error);
    }
  }

  /** From files to a submission. The head may have moved since the header was read. */
  async #register(content: UploadContent, folder: string): Promise<SubmissionRecord> {
    const { chain, spool, submissions } = this.#parts;
    const { id, miner, base, meta, claimedAt } = content;
    const tensors = recordTensors(content);
    await checkBase(chain, content);
    await checkNew(chain, tensors);
    const losers = outclaimed(claimantOf(content), this.#others(id));
    await spool.keep(
      folder,
      id,
      tensors.map((t) => t.payloadHash),
    );
    const record = await submissions.add({ id, miner, base, meta, claimedAt, tensors });
    for (const loser of losers) await this.#events.onOutclaimed(loser);
    return record;
  }

  async #admit(signed: Signed): Promise<UploadContent> {
    const { chain, claims, now } = this.#parts;
    const { id, manifest } = signed;
    const claim = manifest.salt && claimOf(chain.networkId, id, manifest.salt);
    const claimedAt = (claim && claims.timeOf(claim)) ?? now();
    const content = contentOf(await admit(chain, signed), claimedAt);
    outclaimed(claimantOf(content), this.#others(id));
    return content;
  }

  #others(id: Uint8Array): Claimant[] {
    const coming = [...this.#whole, ...[...this.#sessions.values()].map(({ content }) => content)];
    const all = [...coming.map(claimantOf), ...this.#parts.submissions.pending().map(claimantOfRecord)];
    return all.filter((other) => !equalBytes(other.id, id));
  }

  async #header(reader: ByteReader): Promise<{ signed: Signed; headerBytes: number }> {
    const { chain } = this.#parts;
    const length = headerLength(await reader.exactly(8), maxHeaderBytes(chain));
    const json = await reader.exactly(length);
    const header = parseSafetensorsHeader(json, undefined, MORE_TENSORS * chain.sealed.tensors.size);
    return { signed: verifyHeader(chain, header), headerBytes: 8 + length };
  }

  #stateOf(session: UploadSession): UploadState {
    const { content, received, reception, lastMs } = session;
    const expiresAt = lastMs + this.#options.partsExpireMs;
    return { id: content.id, bytes: reception.totalBytes, received, expiresAt };
  }

  #drop(session: UploadSession): void {
    this.#sessions.delete(toHex(session.content.id));
    this.#room.release(session.content.id);
  }

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

function checkComplete({ received, totalBytes, complete }: Reception): void {
  must(complete, 'WEIGHTS_TRUNCATED', () => `the stream ended ${totalBytes - received} bytes before its end`);
}

/** Of these the client is not to blame for its bytes: what is there stays. */
function goesOn(error: unknown): boolean {
  if (!(error instanceof PoolError)) return false;
  return ['WEIGHTS_TRUNCATED', 'TIMEOUT', 'STATE', 'UNAVAILABLE', 'TOO_LARGE'].includes(error.code);
}

function ofStore(error: unknown): unknown {
  if (error instanceof PoolError) return error;
  return new PoolError('STORE_IO', 'the upload could not be stored', {}, { cause: error });
}
