import type { SubmissionView } from '#shared/api/schemas.ts';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { formatAmount } from '#shared/money.ts';
import { ProgressBar } from '#worker/audit/progress.ts';
import type { CommandEnvironment } from '#worker/cli/command.ts';
import type { SubmitEvent } from '#worker/submit/submit.ts';

export interface SubmissionReporter {
  readonly report: (event: SubmitEvent) => void;
  readonly end: () => void;
}

type Output = Pick<CommandEnvironment, 'out' | 'err' | 'terminal' | 'now'>;

/** How often a bar that nobody writes over is put into JSON lines. */
const JSON_MS = 500;

/** What the one who submitted can do about a refusal. */
const ADVICE: Partial<Record<ErrorCode, string>> = {
  GATE_NOT_BETTER: 'train on, or on other text: the loss on the validation windows has to fall by the margin',
  LOSS_NOT_FINITE: 'the weights overflow in the network: train with a lower rate',
  WEIGHTS_NOT_FINITE: 'a weight is NaN or infinite: train with a lower rate',
  PAYLOAD_KNOWN: 'these bytes were submitted before, by you or by another: nothing is paid twice',
  SUBMISSION_META: 'the rules of the pool have changed: run the command again',
  SUBMISSION_BASE: 'the weights belong to another chain, or --base is wrong',
  EVALUATION_CRASHED: 'no worker could evaluate these weights',
  TOO_MANY_REQUESTS: 'wait for the verdicts on what you have submitted',
};

/** Shows a submission's way as text with a bar, or as JSON lines. */
export function submissionReporter(environment: Output, json: boolean): SubmissionReporter {
  return json ? jsonReporter(environment) : textReporter(environment);
}

function jsonReporter({ now, out }: Output): SubmissionReporter {
  let shownAt = Number.NEGATIVE_INFINITY;
  return {
    report: (event) => {
      if (event.type === 'hashing' || event.type === 'sending') {
        if (event.done < event.total && now() - shownAt < JSON_MS) return;
        shownAt = now();
      }
      out(`${JSON.stringify({ at: now(), ...event })}\n`);
    },
    end: () => {},
  };
}

function textReporter({ out, err, terminal, now }: Output): SubmissionReporter {
  const bar = terminal ? new ProgressBar(err, now) : undefined;
  let running = '';
  const step = (event: Extract<SubmitEvent, { done: number }>) => {
    if (running !== event.type) bar?.begin(event.type, event.total);
    running = event.type;
    bar?.done(event.done);
  };
  const end = () => {
    if (running !== '') bar?.end();
    running = '';
  };
  return {
    report: (event) => {
      if (event.type === 'hashing' || event.type === 'sending') return step(event);
      end();
      out(`${describe(event)}\n`);
    },
    end,
  };
}

function describe(event: Exclude<SubmitEvent, { done: number }>): string {
  switch (event.type) {
    case 'signed':
      return `submission ${event.submission}: ${event.tensors} tensors, ${event.bytes.toLocaleString('en')} bytes${event.unchanged === 0 ? '' : `; ${event.unchanged} are as at the head and not sent`}; paid to ${event.address}${event.resumed ? '; going on from where it broke off' : ''}`;
    case 'trouble':
      return `${event.code}: ${event.message}; trying again`;
    case 'waiting':
      return `waiting: ${event.message}`;
    case 'state':
      return story(event.submission);
  }
}

const nats = (value: number): string => value.toFixed(4);

function story({ state, verdict, reward, blocks, error }: SubmissionView): string {
  const told = [state];
  if (verdict)
    told.push(
      `loss ${nats(verdict.loss_before_nats)} -> ${nats(verdict.loss_after_nats)}, gain ${nats(verdict.gain_nats)} ± ${nats(verdict.margin_nats)} on ${verdict.windows} windows`,
    );
  if (blocks)
    told.push(
      blocks.first === blocks.last ? `block B${blocks.first}` : `blocks B${blocks.first} to B${blocks.last}`,
    );
  if (reward !== undefined) told.push(`reward ${formatAmount(BigInt(reward))}`);
  if (error) {
    told.push(`${error.code}: ${error.message}`);
    const advice = ADVICE[error.code];
    if (advice !== undefined) told.push(advice);
  }
  return told.join('\n  ');
}
