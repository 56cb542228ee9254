import type { SubmissionState } from '#shared/lifecycle.ts';

/** The hue a state is shown in; the word itself always stands beside it. */
export type Tone = 'waiting' | 'evaluation' | 'mining' | 'accepted' | 'rejected';

export const STATE_TONES = {
  received: 'waiting',
  queued: 'waiting',
  evaluating: 'evaluation',
  evaluated: 'evaluation',
  mining: 'mining',
  mined: 'mining',
  committed: 'accepted',
  paid: 'accepted',
  rejected: 'rejected',
} as const satisfies Record<SubmissionState, Tone>;

export const STATE_MEANINGS = {
  received: 'The weights have arrived and their hashes agree.',
  queued: 'Waiting for a worker.',
  evaluating: 'A worker measures the loss before and after.',
  evaluated: 'The loss fell by the margin of the gate.',
  mining: 'Workers seek the nonces of its blocks.',
  mined: 'Every block has its nonce.',
  committed: 'Its blocks are on the chain.',
  paid: 'On the chain, and the reward is in the journal.',
  rejected: 'Refused; the code says why.',
} as const satisfies Record<SubmissionState, string>;

/** States in which the pool still works on a submission, in the order it passes them. */
export const STATES_IN_WORK = [
  'received',
  'queued',
  'evaluating',
  'evaluated',
  'mining',
  'mined',
] as const satisfies readonly SubmissionState[];

export function isInWork(state: string): boolean {
  return (STATES_IN_WORK as readonly string[]).includes(state);
}

/** States in which a worker is busy with the submission at this moment. */
export function isActive(state: string): boolean {
  return state === 'evaluating' || state === 'mining';
}

export function toneOf(state: string): Tone {
  return Object.hasOwn(STATE_TONES, state) ? STATE_TONES[state as SubmissionState] : 'waiting';
}

export function meaningOf(state: string): string {
  return Object.hasOwn(STATE_MEANINGS, state) ? STATE_MEANINGS[state as SubmissionState] : '';
}
