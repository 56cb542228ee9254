/** A job holds hashes, never bytes: a submission to judge, the head to measure, or a sealed submission to re-check. */
export interface EvaluationJob {
  readonly kind: 'submission' | 'head' | 'held-out';
  /** Submission id, or model root of a head, hex. */
  readonly id: string;
}

/** A job that this coordinator holds, until it is completed or given back. */
export interface HeldJob {
  readonly data: EvaluationJob;
  /** Keeps the job from others for another lock time. */
  extend(): Promise<void>;
  /** Done, whatever came of it: what it was about stands in the store. */
  complete(): Promise<void>;
  /** Back to the front of the queue, for another worker. */
  giveBack(): Promise<void>;
}

/** What the stages need of the queue. Every call settles within about a second, also without Redis. */
export interface JobQueue {
  /** Adds a job once: while one of the same id waits or runs, nothing happens. */
  add(data: EvaluationJob): Promise<void>;
  /** The next job, now held by this coordinator, or null when none waits. */
  take(): Promise<HeldJob | null>;
}
