import { randomInt } from 'node:crypto';
import type { HeldJob, JobQueue } from '#coordinator/dispatch/job-queue.ts';
import { modelMessage } from '#coordinator/dispatch/model-ref.ts';
import type { Reputations } from '#coordinator/dispatch/reputations.ts';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { Workers } from '#coordinator/dispatch/workers.ts';
import { Committee } from '#coordinator/evaluation/committee.ts';
import { describeJob, type JobParts } from '#coordinator/evaluation/describe-job.ts';
import type { Seats } from '#coordinator/evaluation/seats.ts';
import { Suitability } from '#coordinator/evaluation/suitability.ts';
import { type Waiting, whyWaiting } from '#coordinator/evaluation/waiting.ts';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import type { MetaBlock } from '#shared/block/meta-chain.ts';
import type { SealedModel } from '#shared/block/parameter-chain.ts';
import { equalBytes } from '#shared/crypto/bytes.ts';
import { addressOf } from '#shared/crypto/keys.ts';
import { isRechecked } from '#shared/pol/reputation.ts';

/** Jobs held at once: some may wait for a worker that may judge them. */
const MOST_COMMITTEES = 64;

type HeadJob = Pick<Committee['job'], 'model' | 'changed'>;

export interface SeatingParts extends JobParts {
  readonly queue: JobQueue;
  readonly workers: Workers;
  readonly reputations: Reputations;
  readonly seats: Seats;
}

/** Who sits where: gives seats on committees to workers that are ready, and takes jobs off the queue for them. */
export class Seating {
  readonly #committees: Set<Committee>;
  readonly #parts: SeatingParts;
  readonly #suitability = new Suitability();
  #head: { readonly meta: MetaBlock; readonly sealed: SealedModel; readonly job: HeadJob } | undefined;

  constructor(committees: Set<Committee>, parts: SeatingParts) {
    this.#committees = committees;
    this.#parts = parts;
  }

  /** Gives one ready worker one seat, on a new committee where none of those that sit has room. */
  async handOutOne(): Promise<boolean> {
    const ready = this.#readySessions();
    if (ready.length === 0) return false;
    for (const committee of this.#committees) {
      const session = committee.open > 0 ? this.#choose(committee, ready) : undefined;
      if (!session) continue;
      await this.#grant(committee, session);
      return true;
    }
    return this.#committees.size < MOST_COMMITTEES && this.#convene();
  }

  /** Tells of submissions to be judged why the workers attached now cannot take their seats; null where they can. */
  waiting(): (record: SubmissionRecord) => Waiting | null {
    const { chain, workers } = this.#parts;
    const job = this.#headJob();
    const attached = workers
      .sessions()
      .filter((session) => session.has('evaluate'))
      .map((session) => {
        const { address, owner, takes, publicKey } = session;
        return { address, owner, takes, publicKey, fits: this.#suitability.fits(job, session) };
      });
    return ({ id, miner }) => {
      const committee = this.#judging(id);
      if (committee?.open === 0) return null;
      const seated = committee?.members ?? [];
      const isSeated = (key: Uint8Array) => seated.some(({ worker }) => equalBytes(worker, key));
      return whyWaiting({
        miner: addressOf(miner),
        wanted: committee?.wanted ?? chain.meta.manifest.quorum.attestations,
        seated: seated.map(({ owner }) => owner),
        others: attached.filter(({ publicKey }) => !isSeated(publicKey)),
      });
    };
  }

  /** Made once per head: anybody may ask why his submission waits, and ask again. */
  #headJob(): HeadJob {
    const { meta, sealed } = this.#parts.chain;
    if (this.#head?.meta !== meta || this.#head.sealed !== sealed)
      this.#head = { meta, sealed, job: { model: modelMessage(meta, sealed), changed: [] } };
    return this.#head.job;
  }

  #judging(submission: Uint8Array): Committee | undefined {
    return [...this.#committees].find(
      ({ known, job: { record } }) => !known && record !== null && equalBytes(record.id, submission),
    );
  }

  /** Takes the next job off the queue, for whoever may sit on it. */
  async #convene(): Promise<boolean> {
    const held = await this.#parts.queue.take();
    if (!held) return false;
    const running = this.#committeeOf(held);
    if (running) {
      // Its lock ran out, or Redis forgot it: the work goes on under the new lock.
      running.held = held;
      return true;
    }
    const job = await describeJob(this.#parts, held.data);
    if (!job) await held.complete();
    else this.#committees.add(new Committee(job, held));
    return true;
  }

  #committeeOf({ data }: HeldJob): Committee | undefined {
    return [...this.#committees].find(
      ({ held }) => held?.data.kind === data.kind && held.data.id === data.id,
    );
  }

  /** Workers that asked for a lease; by lot, so that nobody picks his jobs. */
  #readySessions(): WorkerSession[] {
    const ready = this.#parts.workers.sessions().filter((session) => session.ready.evaluate > 0);
    const lots = new Map(ready.map((session) => [session, randomInt(2 ** 32)]));
    const lot = (session: WorkerSession) => lots.get(session) as number;
    return ready.sort((a, b) => lot(a) - lot(b));
  }

  /** One that has failed this job gets it again only where nobody else is there. */
  #choose(committee: Committee, ready: readonly WorkerSession[]): WorkerSession | undefined {
    const { job } = committee;
    const admitted = ready.filter((session) => committee.admits(session));
    const fits = this.#suitability.rank(job, admitted);
    const isFresh = ({ address }: WorkerSession) => !committee.failed.has(address);
    const fresh = fits.find(isFresh);
    if (fresh || committee.known) return fresh;
    const others = this.#parts.workers.withRole('evaluate').filter((s) => committee.admits(s) && isFresh(s));
    return this.#suitability.rank(job, others).length > 0 ? undefined : fits[0];
  }

  /** The seat stands before anything is awaited: a worker that is lost meanwhile leaves it. */
  async #grant(committee: Committee, session: WorkerSession): Promise<void> {
    const { record } = committee.job;
    this.#trust(committee, session);
    this.#suitability.asked(committee.job, session);
    const seat = this.#parts.seats.take(committee, session);
    if (record && !committee.known) await this.#markEvaluating(record);
    if (this.#parts.seats.has(seat)) this.#parts.seats.tell(committee, seat);
  }

  async #markEvaluating({ id }: SubmissionRecord): Promise<void> {
    const { submissions } = this.#parts;
    if ((await submissions.get(id))?.state === 'queued') await submissions.move(id, 'evaluating');
  }

  /** PROTOCOL §8, adaptive replication: a trusted worker that comes first is asked alone, but for re-checks. */
  #trust(committee: Committee, { publicKey: worker }: WorkerSession): void {
    const { chain, reputations } = this.#parts;
    const { record, quorum, target } = committee.job;
    const after = chain.meta.manifest.quorum.trusted_after;
    const { consecutive } = reputations.of(worker);
    const isFirst = committee.seats.size === 0 && committee.heard.length === 0;
    if (!record || !isFirst || committee.known) return;
    const trusted = after !== undefined && quorum.needed > 1 && consecutive >= after;
    const alone = trusted && !isRechecked(chain.networkId, { ...target, worker }, consecutive);
    committee.trusted = alone ? consecutive : undefined;
    committee.wanted = alone ? 1 : quorum.needed;
  }
}
