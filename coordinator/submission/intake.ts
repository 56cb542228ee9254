import { rm } from 'node:fs/promises';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import { ByteReader } from '#coordinator/submission/byte-reader.ts';
import {
  Entrance,
  type IntakeEvents,
  type IntakeParts,
  ofStore,
  type Upload,
} from '#coordinator/submission/entrance.ts';
import { HashThread } from '#coordinator/submission/hash-thread.ts';
import { PartsIntake, type PartsOptions } from '#coordinator/submission/parts-intake.ts';
import { Reception } from '#coordinator/submission/reception.ts';
import { type IntakeLimits, Room } from '#coordinator/submission/room.ts';
import { Turns } from '#coordinator/submission/turns.ts';
import type { UploadContent } from '#coordinator/submission/upload-session.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';

export interface IntakeOptions extends IntakeLimits, PartsOptions {}

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

/**
 * The first stage. Everything that can be refused is refused from the safetensors header, before a byte of weights is
 * read; then the tensors stream to disk while they are hashed and checked: in one piece, of which nothing stays where
 * it breaks off, or by parts. What is acknowledged is durable.
 */
export class Intake {
  readonly byParts: PartsIntake;
  readonly #parts: IntakeParts;
  readonly #entrance: Entrance;
  readonly #room: Room;
  readonly #thread = new HashThread();
  /** One at a time of the same submission: the same content twice at once is received once. */
  readonly #turns = new Turns();

  constructor(options: IntakeOptions, parts: IntakeParts, events: IntakeEvents) {
    this.#parts = parts;
    this.#entrance = new Entrance(parts, events);
    this.#room = new Room(options, parts.submissions);
    this.byParts = new PartsIntake(options, parts, {
      ...{ entrance: this.#entrance, room: this.#room },
      ...{ turns: this.#turns, thread: this.#thread },
    });
  }

  /** Takes up the uploads by parts that another process left. */
  async start(): Promise<void> {
    await this.byParts.start();
  }

  /** After this nothing comes in; uploads by parts stay. */
  async close(): Promise<void> {
    await this.byParts.close();
    await this.#thread.close();
  }

  /**
   * Receives a signed safetensors stream; `single` demands exactly one tensor. The same content again gives the same
   * record, and `isNew` false.
   */
  async receive(upload: Upload, single: boolean): Promise<{ record: SubmissionRecord; isNew: boolean }> {
    const reader = new ByteReader(upload.stream);
    const { signed, headerBytes } = await this.#entrance.header(reader);
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
      const content = await this.#entrance.admit(signed);
      const free = this.#room.take({
        ...{ id, miner: manifest.miner },
        ...{ bytes: header.dataBytes, address: upload.address },
      });
      this.#entrance.underWay.add(content);
      try {
        return { record: await this.#receiveWhole(reader, content), isNew: true };
      } finally {
        this.#entrance.underWay.delete(content);
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
      const record = await this.#entrance.register(content, folder);
      await this.byParts.forget(content.id);
      return record;
    } catch (error) {
      await reception.close();
      await rm(folder, { recursive: true, force: true });
      throw ofStore(error);
    }
  }
}

function checkComplete({ received, totalBytes, complete }: Reception): void {
  must(complete, 'WEIGHTS_TRUNCATED', () => `the stream ended ${totalBytes - received} bytes before its end`);
}
