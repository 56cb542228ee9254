import { randomInt } from 'node:crypto';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import type { DescribedJob } from '#coordinator/evaluation/describe-job.ts';
import { DTYPE_BYTES, tensorBytes } from '#shared/weights/dtype.ts';

/** Backends compute with 32-bit floats, whatever the dtype on the chain. */
const COMPUTED_BYTES = DTYPE_BYTES.F32;
/** A tensor and what is computed from it. */
const ROOM_PER_TENSOR = 2;
/** A worker that lacks less than this part of the model has the model, but for what was submitted since. */
const WARM = 0.1;
/** One seat in so many goes by lot alone, so that who is new, and has nothing yet, gets its turn. */
const BY_LOT_ONE_IN = 4;

type Job = Pick<DescribedJob, 'model' | 'changed'>;

interface Needs {
  /** The model as it is computed with. */
  readonly computedBytes: number;
  /** The least that a machine must hold at once, as others than the largest tensor can be streamed past it. */
  readonly leastBytes: number;
  readonly payloadBytes: number;
}

/**
 * Which workers suit a job: those that cannot hold a tensor of it are not asked; of the others, those first that have
 * least to do, then those whose device holds the whole model, then those that have its tensors in their cache. What a
 * machine has is what it says; what it has fetched is what it was asked to compute with.
 */
export class Suitability {
  readonly #needs = new WeakMap<Job, Needs>();
  /** Tensor name → hash of the payload that the worker was asked to fetch last. */
  readonly #fetched = new WeakMap<WorkerSession, Map<string, string>>();
  readonly #isByLot: () => boolean;

  constructor(isByLot: () => boolean = () => randomInt(BY_LOT_ONE_IN) === 0) {
    this.#isByLot = isByLot;
  }

  /** Those who can do the job, the best first; of equals, in the order in which they came. */
  rank(job: Job, sessions: readonly WorkerSession[]): WorkerSession[] {
    const needs = this.#needsOf(job);
    const byLot = this.#isByLot();
    const ranked = sessions
      .filter((session) => this.fits(job, session))
      .map((session) => ({
        session,
        load: session.holds.evaluate,
        isSmall: memoryOf(session).device < needs.computedBytes,
        isCold: !byLot && this.#missingBytes(job, session) > WARM * needs.payloadBytes,
      }));
    return ranked
      .sort(
        (a, b) =>
          a.load - b.load || Number(a.isSmall) - Number(b.isSmall) || Number(a.isCold) - Number(b.isCold),
      )
      .map(({ session }) => session);
  }

  /** It can hold the largest tensor, as it is computed with. */
  fits(job: Job, session: WorkerSession): boolean {
    return memoryOf(session).machine >= this.#needsOf(job).leastBytes;
  }

  /** The worker fetches what the job is about, unless it has it already. */
  asked(job: Job, session: WorkerSession): void {
    const fetched = this.#fetched.get(session) ?? new Map<string, string>();
    for (const { name, hash } of job.model.tensors) fetched.set(name, hash);
    this.#fetched.set(session, fetched);
  }

  #missingBytes({ model }: Job, session: WorkerSession): number {
    const fetched = this.#fetched.get(session);
    return model.tensors.reduce(
      (sum, { name, hash, dtype, shape }) =>
        fetched?.get(name) === hash ? sum : sum + tensorBytes(dtype, shape),
      0,
    );
  }

  #needsOf(job: Job): Needs {
    const known = this.#needs.get(job);
    if (known) return known;
    const sizes = job.model.tensors.map(({ dtype, shape }) => ({
      payload: tensorBytes(dtype, shape),
      computed: (tensorBytes(dtype, shape) / DTYPE_BYTES[dtype]) * COMPUTED_BYTES,
    }));
    const needs = {
      computedBytes: sizes.reduce((sum, { computed }) => sum + computed, 0),
      leastBytes: ROOM_PER_TENSOR * sizes.reduce((most, { computed }) => Math.max(most, computed), 0),
      payloadBytes: sizes.reduce((sum, { payload }) => sum + payload, 0),
    };
    this.#needs.set(job, needs);
    return needs;
  }
}

/** Bytes; a worker that does not say is taken to have enough. */
function memoryOf({ hello: { capabilities } }: WorkerSession): { machine: number; device: number } {
  if (!capabilities) return { machine: Number.POSITIVE_INFINITY, device: Number.POSITIVE_INFINITY };
  const { memoryBytes, backends } = capabilities;
  const machine = Math.max(memoryBytes, ...backends.map((backend) => backend.memoryBytes ?? 0));
  return { machine, device: backends[0]?.memoryBytes ?? memoryBytes };
}
