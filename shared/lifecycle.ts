import { must } from '#shared/errors/pool-error.ts';

/**
 * The life of a submission: every state and its legal successors. Every surface (API, feed, page, metrics, logs)
 * uses these names. A head that moves sends an evaluated or mining submission back to the queue.
 */
export const LIFECYCLE = {
  received: ['queued', 'rejected'],
  queued: ['evaluating', 'rejected'],
  evaluating: ['evaluated', 'queued', 'rejected'],
  evaluated: ['mining', 'queued', 'rejected'],
  mining: ['mined', 'queued', 'evaluated', 'rejected'],
  mined: ['committed', 'evaluated', 'queued', 'rejected'],
  committed: ['paid'],
  paid: [],
  rejected: [],
} as const satisfies Record<string, readonly string[]>;

export type SubmissionState = keyof typeof LIFECYCLE;
export const SUBMISSION_STATES = Object.keys(LIFECYCLE) as SubmissionState[];

/** States from which nothing moves any more. */
export function isFinal(state: SubmissionState): boolean {
  return LIFECYCLE[state].length === 0;
}

export function checkMove(from: SubmissionState, to: SubmissionState): void {
  must(
    (LIFECYCLE[from] as readonly string[]).includes(to),
    'STATE',
    () =>
      `a submission cannot go from ${from} to ${to}; expected one of: ${LIFECYCLE[from].join(', ') || 'nothing, it is final'}`,
  );
}
