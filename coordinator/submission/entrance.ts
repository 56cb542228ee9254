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
import type { ByteReader } from '#coordinator/submission/byte-reader.ts';
import { type Claimant, claimantOf, claimantOfRecord, outclaimed } from '#coordinator/submission/rivals.ts';
import type { Spool } from '#coordinator/submission/spool.ts';
import { contentOf, recordTensors, type UploadContent } from '#coordinator/submission/upload-session.ts';
import { equalBytes } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { claimOf } from '#shared/protocol/submission.ts';
import { headerLength, parseSafetensorsHeader } from '#shared/weights/safetensors.ts';

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

/** What is asked of every submission, however it comes: at its header, and when all its bytes are there. */
export class Entrance {
  readonly #parts: IntakeParts;
  readonly #events: IntakeEvents;
  /** What is on its way in. */
  readonly underWay = new Set<UploadContent>();

  constructor(parts: IntakeParts, events: IntakeEvents) {
    this.#parts = parts;
    this.#events = events;
  }

  /** Everything that the header can tell at any time. */
  async header(reader: ByteReader): Promise<{ signed: Signed; headerBytes: number }> {
    const { chain } = this.#parts;
    const length = headerLength(await reader.exactly(8), maxHeaderBytes(chain));
    const json = await reader.exactly(length);
    const header = parseSafetensorsHeader(json, undefined, MORE_TENSORS * chain.sealed.tensors.size);
    return { signed: verifyHeader(chain, header), headerBytes: 8 + length };
  }

  /** What depends on the chain, and on who else is here, of this moment. */
  async admit(signed: Signed): Promise<UploadContent> {
    const { chain, claims, now } = this.#parts;
    const { id, manifest } = signed;
    const claim = manifest.salt && claimOf(chain.networkId, id, manifest.salt);
    const claimedAt = (claim && claims.timeOf(claim)) ?? now();
    const content = contentOf(await admit(chain, signed), claimedAt);
    outclaimed(claimantOf(content), this.#others(id));
    return content;
  }

  /** From files to a submission. The head may have moved since the header was read. */
  async register(content: UploadContent, folder: string): Promise<SubmissionRecord> {
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

  #others(id: Uint8Array): Claimant[] {
    const waiting = this.#parts.submissions.pending().map(claimantOfRecord);
    const all = [...[...this.underWay].map(claimantOf), ...waiting];
    return all.filter((other) => !equalBytes(other.id, id));
  }
}

/** What failed without a code of its own did so where bytes are stored. */
export function ofStore(error: unknown): unknown {
  if (error instanceof PoolError) return error;
  return new PoolError('STORE_IO', 'the upload could not be stored', {}, { cause: error });
}
