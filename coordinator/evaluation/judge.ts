import type { Heard } from '#coordinator/evaluation/check-result.ts';
import type { Committee } from '#coordinator/evaluation/committee.ts';
import type { JobTarget } from '#coordinator/evaluation/describe-job.ts';
import type {
  EvaluationCost,
  StoredVerdict,
  SubmissionRecord,
  Submissions,
} from '#coordinator/store/submissions.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { lastLook, type SequentialRule, type SequentialVerdict } from '#shared/pol/sequential.ts';

/** What a quorum found: who agreed, and who was outvoted. */
export interface Agreed {
  readonly agreeing: readonly Heard[];
  readonly outvoted: readonly Heard[];
}

/** Moves a submission to what its quorum found: `evaluated`, or `rejected` with the gate's code. */
export async function judge(
  submissions: Submissions,
  committee: Committee,
  { cost, ...agreed }: Agreed & { readonly cost: EvaluationCost },
): Promise<SubmissionRecord> {
  const { target, rule } = committee.job;
  const record = committee.job.record as SubmissionRecord;
  const from = 'evaluating';
  const verdict = together(agreed.agreeing);
  const crashes = 0;
  if (verdict.stop === 'not-finite') {
    const error = new PoolError('LOSS_NOT_FINITE', 'the candidate has a loss that is not finite');
    return submissions.move(record.id, 'rejected', { from, cost, crashes, error: error.toObject() as never });
  }
  const stored = storedVerdict(target, verdict, { ...agreed, trusted: committee.trusted });
  if (verdict.passed)
    return submissions.move(record.id, 'evaluated', { from, cost, crashes, verdict: stored });
  const error = refusal(verdict, rule);
  return submissions.move(record.id, 'rejected', {
    from,
    cost,
    crashes,
    verdict: stored,
    error: error.toObject() as never,
  });
}

/** The gate must hold for each of them; where it does not, the first for which it does not speaks for all. */
function together(agreeing: readonly Heard[]): SequentialVerdict {
  const verdicts = agreeing.flatMap(({ verdict }) => verdict ?? []);
  return (verdicts.find(({ passed }) => !passed) ?? verdicts[0]) as SequentialVerdict;
}

function storedVerdict(
  target: JobTarget,
  verdict: SequentialVerdict,
  { agreeing, outvoted, trusted }: Agreed & { trusted: number | undefined },
): StoredVerdict {
  const [first] = agreeing as readonly [Heard, ...Heard[]];
  const longest = agreeing.reduce(
    (most, { windows }) => (windows.length > most.length ? windows : most),
    first.windows,
  );
  return {
    head: target.head,
    salt: target.salt,
    windows: [...longest],
    attestations: agreeing
      // Losses of a candidate that is not finite for one of them and is for another do not agree.
      .map(({ worker, backend, base, candidate, signature }) => ({
        worker,
        backend,
        base: base as number[],
        candidate: candidate as number[],
        signature,
      })),
    owners: agreeing.map(({ owner }) => owner),
    outvoted: outvoted.map(({ worker }) => worker),
    ...(trusted === undefined ? {} : { trusted }),
    stop: verdict.stop,
    passed: verdict.passed,
    meanBaseMicroNats: verdict.meanBaseMicroNats,
    meanCandidateMicroNats: verdict.meanCandidateMicroNats,
    meanGainMicroNats: verdict.meanGainMicroNats,
    marginMicroNats: verdict.marginMicroNats,
    tokens: first.tokens,
    evaluationMs: Math.round(first.ms),
  };
}

function refusal(verdict: SequentialVerdict, rule: SequentialRule): PoolError {
  const { meanBaseMicroNats, meanCandidateMicroNats, marginMicroNats, windows } = verdict;
  const stopped = windows < lastLook(rule) ? ` (stopped after ${windows} of ${lastLook(rule)} windows)` : '';
  return new PoolError(
    'GATE_NOT_BETTER',
    `the loss went from ${nats(meanBaseMicroNats)} to ${nats(meanCandidateMicroNats)} nats${stopped}; expected it to fall by ${nats(rule.deltaMicroNats)} and the margin of ${nats(marginMicroNats)}`,
    { gain_micro_nats: verdict.meanGainMicroNats, margin_micro_nats: marginMicroNats },
  );
}

/** Tokens through the model for what a committee heard, and those that the looks and a trusted worker saved. */
export function costOf({ job, heard, discarded, trusted }: Committee): EvaluationCost {
  const tokensOf = (windows: number) => 2 * windows * job.context;
  const all = tokensOf(lastLook(job.rule));
  const results = [...discarded, ...heard];
  const sum = (of: (result: Heard) => number) => results.reduce((total, result) => total + of(result), 0);
  const used = (result: Heard) => tokensOf(result.windows.length);
  return {
    evaluations: results.length,
    tokens: sum(({ tokens }) => tokens),
    savedByLooks: sum((result) => all - used(result)),
    savedByTrust: trusted === undefined ? 0 : (job.quorum.needed - 1) * sum(used),
  };
}

export function addCosts(a: EvaluationCost | undefined, b: EvaluationCost): EvaluationCost {
  if (!a) return b;
  return {
    evaluations: a.evaluations + b.evaluations,
    tokens: a.tokens + b.tokens,
    savedByLooks: a.savedByLooks + b.savedByLooks,
    savedByTrust: a.savedByTrust + b.savedByTrust,
  };
}

/** Micro-nats → nats, for people to read. */
const nats = (microNats: number): string => (microNats / 1e6).toFixed(4);
