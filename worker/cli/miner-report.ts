import { formatAmount } from '#shared/money.ts';
import type { CommandEnvironment } from '#worker/cli/command.ts';
import type { MinerEvent } from '#worker/train/miner-events.ts';

/** How often the figures are shown: written over at a terminal, a line each elsewhere. */
const TERMINAL_MS = 500;
const PLAIN_MS = 10_000;
const CLEAR_LINE = '\r\u001b[K';

export interface MinerReporter {
  readonly report: (event: MinerEvent) => void;
  note(text: string): void;
  /** Leaves the terminal's cursor on a line of its own. */
  end(): void;
}

type Output = Pick<CommandEnvironment, 'out' | 'terminal' | 'now'>;

/** Shows a miner's events as text lines with one status line, or as JSON lines. */
export function minerReporter(environment: Output, json: boolean): MinerReporter {
  return json ? new JsonReport(environment) : new TextReport(environment);
}

class JsonReport implements MinerReporter {
  readonly #environment: Output;
  #stepAt = Number.NEGATIVE_INFINITY;

  constructor(environment: Output) {
    this.#environment = environment;
  }

  readonly report = (event: MinerEvent): void => {
    const { now } = this.#environment;
    if (event.type === 'step') {
      if (now() - this.#stepAt < TERMINAL_MS) return;
      this.#stepAt = now();
    }
    this.#write(event);
  };

  note(text: string): void {
    this.#write({ type: 'note', text });
  }

  end(): void {}

  #write(value: object): void {
    const { now, out } = this.#environment;
    out(`${JSON.stringify({ at: now(), ...value })}\n`);
  }
}

class TextReport implements MinerReporter {
  readonly #environment: Output;
  #shownAt = Number.NEGATIVE_INFINITY;
  #status = '';
  #sent = 0;
  #accepted = 0;
  #balance = '0';
  /** Tokens that workers put through the model for our submissions. */
  #evaluationTokens = 0;
  #trainedTokens = 0;

  constructor(environment: Output) {
    this.#environment = environment;
  }

  readonly report = (event: MinerEvent): void => {
    if (event.type === 'step') {
      this.#trainedTokens += event.tokens;
      this.#step(event);
      return;
    }
    if (event.type === 'accepted' || event.type === 'rejected')
      this.#evaluationTokens += event.evaluationTokens;
    if (event.type === 'sent') this.#sent += 1;
    if (event.type === 'accepted') this.#accepted += 1;
    if (event.type === 'balance') this.#balance = formatAmount(BigInt(event.units));
    const text = describe(event);
    if (text !== undefined) this.note(text);
  };

  note(text: string): void {
    const { out, terminal } = this.#environment;
    out(terminal ? `${CLEAR_LINE}${text}\n${this.#status}` : `${text}\n`);
  }

  end(): void {
    if (this.#environment.terminal && this.#status !== '') this.#environment.out('\n');
  }

  #step(event: Extract<MinerEvent, { type: 'step' }>): void {
    const { now, out, terminal } = this.#environment;
    if (now() - this.#shownAt < (terminal ? TERMINAL_MS : PLAIN_MS)) return;
    this.#shownAt = now();
    this.#status = [
      `step ${event.step}`,
      `loss ${event.loss.toFixed(3)}`,
      `${Math.round(event.tokensPerSecond)} tokens/s`,
      `sent ${this.#sent}`,
      `accepted ${this.#accepted}`,
      `judged with ${percent(this.#evaluationTokens, this.#trainedTokens)} of the tokens trained`,
      `balance ${this.#balance}`,
    ].join('  ');
    out(terminal ? `${CLEAR_LINE}${this.#status}` : `${this.#status}\n`);
  }
}

const percent = (part: number, whole: number): string =>
  `${((100 * part) / Math.max(1, whole)).toFixed(2)} %`;
const nats = (value: number | null): string => (value === null ? '?' : value.toFixed(4));

/** What became of the own training when the head moved. */
const CONTINUED = {
  ours: '',
  merged: ': of another miner, our training was added to it',
  restarted: ': of another miner, training starts again from there',
} as const;

/** What follows from an estimate. */
function next({
  send,
  early,
  priceTokens,
  trainedTokens,
}: Extract<MinerEvent, { type: 'estimate' }>): string {
  if (send) return ', submitting';
  if (!early) return ', training on';
  return `, training on: judging it would take ${priceTokens} tokens for ${trainedTokens} trained`;
}

/** One line for people; none where the status line says it. */
function describe(event: Exclude<MinerEvent, { type: 'step' }>): string | undefined {
  switch (event.type) {
    case 'ready':
      return `training ${event.parameters} weights on ${event.trainingTokens} tokens (${event.text}), backend ${event.backend}, paid to ${event.address}`;
    case 'head':
      return `head B${event.height} ${event.root.slice(0, 12)}${CONTINUED[event.continued]}`;
    case 'checkpoint':
      if (event.state === 'saved') return undefined;
      return event.state === 'resumed'
        ? `going on from the checkpoint of step ${event.step}`
        : 'the checkpoint is of another head: training begins anew from the present one';
    case 'estimate':
      return `estimate: loss ${nats(event.headNats)} -> ${nats(event.candidateNats)}, gain ${nats(event.gainNats)} ± ${nats(event.marginNats)}${next(event)}`;
    case 'sent':
      return `submitted ${event.submission.slice(0, 12)}, ${event.bytes} bytes`;
    case 'state':
      return `submission ${event.submission.slice(0, 12)} is ${event.state}`;
    case 'accepted':
      return `accepted ${event.submission.slice(0, 12)}: loss ${nats(event.lossBeforeNats)} -> ${nats(event.lossAfterNats)}${event.reward === null ? '' : `, reward ${formatAmount(BigInt(event.reward))}`}, judged with ${event.evaluationTokens} tokens for ${event.trainedTokens} trained`;
    case 'rejected':
      return `rejected ${event.submission.slice(0, 12)}: ${event.code}: ${event.message}`;
    case 'trouble':
      return `${event.code}: ${event.message}`;
    case 'balance':
      return undefined;
  }
}
