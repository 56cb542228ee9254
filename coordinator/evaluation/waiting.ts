import { isOwn } from '#coordinator/evaluation/committee.ts';
import type { SubmissionView } from '#shared/api/schemas.ts';

/** Why nobody takes the open seats on a submission. */
export type Waiting = NonNullable<SubmissionView['waiting']>;
type Reason = Waiting['reason'];

/** An attached worker that evaluates, and is not on the submission's committee. */
export interface Bystander {
  readonly address: string;
  readonly owner: string;
  /** It gets something new. */
  readonly takes: boolean;
  /** It can hold the model's tensors. */
  readonly fits: boolean;
}

export interface WaitingFacts {
  /** Address of the submitter. */
  readonly miner: string;
  /** Results that the committee takes, as far as is known now. */
  readonly wanted: number;
  /** Owners of those that sit on it or were heard, one of each. */
  readonly seated: readonly string[];
  readonly others: readonly Bystander[];
}

/** What keeps workers off a committee, as it is said of `n` of them; the first one met gives the reason. */
const OBSTACLES: Partial<Record<Reason, (n: number) => string>> = {
  'own-workers': (n) => `${are(n)} its submitter's own`,
  'too-little-memory': (n) => `${n} ${n === 1 ? 'has' : 'have'} too little memory for this model`,
  'draining-workers': (n) => `${are(n)} draining`,
  'same-owner': (n) => `${are(n)} of an owner that counts already`,
};

/** Null where the attached workers suffice: then it waits for no more than its turn. */
export function whyWaiting(facts: WaitingFacts): Waiting | null {
  const { wanted, seated, others } = facts;
  const owners = new Set(seated);
  const kept = new Map<Reason, number>();
  for (const worker of others) {
    const obstacle = obstacleOf(worker, facts.miner, owners);
    if (obstacle) kept.set(obstacle, (kept.get(obstacle) ?? 0) + 1);
    else owners.add(worker.owner);
  }
  if (owners.size >= wanted) return null;
  const met = (Object.keys(OBSTACLES) as Reason[]).filter((reason) => kept.has(reason));
  const notes = met.map((reason) => OBSTACLES[reason]?.(kept.get(reason) as number));
  const needed =
    wanted === 1
      ? 'needs 1 worker whose owner did not submit it'
      : `needs ${wanted} workers of different owners who did not submit it`;
  const there = whoIsThere(seated.length, owners.size - seated.length);
  const message = `${needed}; ${there}${notes.length > 0 ? ` (not counted: ${notes.join(', ')})` : ''}`;
  const isEmpty = seated.length + others.length === 0;
  return { reason: met[0] ?? (isEmpty ? 'no-workers' : 'too-few-workers'), message };
}

/** As `Committee.admits` and `Seating` would refuse it a seat. */
function obstacleOf(worker: Bystander, miner: string, taken: ReadonlySet<string>): Reason | undefined {
  if (isOwn(miner, worker)) return 'own-workers';
  if (!worker.fits) return 'too-little-memory';
  if (!worker.takes) return 'draining-workers';
  return taken.has(worker.owner) ? 'same-owner' : undefined;
}

function whoIsThere(seated: number, free: number): string {
  if (seated === 0) return free === 0 ? 'none is attached' : `${are(free)} attached`;
  return `${are(seated)} on it, and ${free === 0 ? 'no other is' : `${free} more ${free === 1 ? 'is' : 'are'}`} attached`;
}

const are = (n: number): string => `${n} ${n === 1 ? 'is' : 'are'}`;

/** A submission that nobody can judge for so long is told of. */
const LONG_MS = 60_000;

/** Which submissions have waited long, each told once. */
export class LongWaits {
  /** Id → since when it has waited; infinity once it was told. */
  readonly #since = new Map<string, number>();

  /** Takes why each submission that is to be judged waits, or null; gives those to be told now. */
  look(now: number, all: ReadonlyMap<string, Waiting | null>): [id: string, waiting: Waiting][] {
    for (const id of this.#since.keys()) if (!all.has(id)) this.#since.delete(id);
    return [...all].filter((one): one is [string, Waiting] => this.#isDue(now, ...one));
  }

  #isDue(now: number, id: string, waiting: Waiting | null): boolean {
    const since = this.#since.get(id) ?? now;
    if (since === Number.POSITIVE_INFINITY) return false;
    const isDue = waiting !== null && now - since > LONG_MS;
    if (waiting === null) this.#since.delete(id);
    else this.#since.set(id, isDue ? Number.POSITIVE_INFINITY : since);
    return isDue;
  }
}
