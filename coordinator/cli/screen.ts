import type { CliEnvironment } from '#coordinator/cli/environment.ts';
import type { EpochView } from '#shared/api/epoch-schemas.ts';
import type { FeedEvent, LossPoint, Overview, SubmissionView } from '#shared/api/schemas.ts';
import { formatAmount } from '#shared/money.ts';

const PAINT = { dim: 2, red: 31, green: 32, yellow: 33, cyan: 36, bold: 1 } as const;
type Paint = keyof typeof PAINT;
const CLEAR_LINE = '\r\u001b[K';
/** Without a terminal the status is a line of its own, this often. */
const PLAIN_STATUS_MS = 15_000;

const nats = (value: number | null | undefined): string =>
  value === null || value === undefined ? '–' : value.toFixed(3);
const shortAddress = (address: string): string => `${address.slice(0, 6)}…${address.slice(-4)}`;

/** What `aiblock up` shows: one line per event, and below them, on a terminal, one line that says how it stands. */
export class Screen {
  readonly #environment: CliEnvironment;
  readonly #json: boolean;
  #status = '';
  #statusAt = 0;
  #loss: number | null = null;
  #genesisLoss: number | null = null;
  #height = 0;
  #accepted = 0;
  #training = { step: 0, loss: 0, tokensPerSecond: 0 };
  /** Hashes per second, by worker. */
  readonly #hashing = new Map<string, number>();

  constructor(environment: CliEnvironment, json: boolean) {
    this.#environment = environment;
    this.#json = json;
  }

  welcome({ url, dataDir, overview }: { url: string; dataDir: string; overview: Overview }): void {
    this.#height = overview.height.B;
    this.#loss = overview.losses.at(-1)?.loss_nats ?? null;
    this.#genesisLoss = overview.losses[0]?.loss_nats ?? null;
    this.#accepted = (overview.submissions.paid ?? 0) + (overview.submissions.committed ?? 0);
    if (this.#json) return this.#write({ type: 'ready', url, dataDir, height: overview.height });
    const { out } = this.#environment;
    out(`\n  ${this.#paint('bold', 'AI-Block Pool')}   ${this.#paint('cyan', url)}\n`);
    out(
      `  ${overview.name}, head B${overview.height.B}, ${overview.parameters.toLocaleString('en')} weights, data in ${dataDir}\n`,
    );
    if (overview.unsafe_keys)
      out(`  ${this.#paint('yellow', 'Unsafe keys: a development network, for trying out only.')}\n`);
    out('  Ctrl-C stops it; the next start goes on from the same head.\n\n');
  }

  event(event: FeedEvent): void {
    if (this.#json) return this.#write(event);
    switch (event.type) {
      case 'submission':
        return this.#submission(event.submission);
      case 'head':
        this.#height = event.height;
        this.#accepted += 1;
        return this.#line(
          'head',
          'green',
          `B${event.height}  ${event.blocks} tensor blocks  model root ${event.root.slice(0, 12)}`,
        );
      case 'meta':
        return this.#line('meta', 'cyan', `A${event.index}  the governors changed the rules`);
      case 'loss':
        this.#loss = event.point.loss_nats;
        this.#genesisLoss ??= event.point.loss_nats;
        return this.#line(
          'loss',
          'bold',
          `${nats(event.point.loss_nats)} nats, ${sourceOf(event.point)} (genesis ${nats(this.#genesisLoss)})`,
        );
      case 'epoch': {
        const text = epochText(event.epoch);
        return text === undefined ? this.#refresh() : this.#line('epoch', 'cyan', text);
      }
      case 'worker': {
        const { worker } = event;
        const joined = worker.connected && worker.hashes_per_second === 0 && worker.tokens_per_second === 0;
        this.#hashing.set(worker.address, worker.connected ? worker.hashes_per_second : 0);
        if (!worker.connected) return this.#line('worker', 'yellow', `${worker.name} left`);
        if (joined && worker.evaluating + worker.mining === 0 && !this.#joined.has(worker.address)) {
          this.#joined.add(worker.address);
          return this.#line(
            'worker',
            'cyan',
            `${worker.name} attached: backend ${worker.backend}, ${worker.threads} grinding thread${worker.threads === 1 ? '' : 's'}, roles ${worker.roles.join(', ')}`,
          );
        }
        return this.#refresh();
      }
      default:
        return event satisfies never;
    }
  }
  readonly #joined = new Set<string>();

  /** A line of the miner's JSON output. */
  miner(line: string): void {
    const event = parseObject(line);
    if (!event) return;
    if (this.#json) return this.#write({ source: 'miner', ...event });
    if (event.type === 'step') {
      this.#training = {
        step: Number(event.step),
        loss: Number(event.loss),
        tokensPerSecond: Number(event.tokensPerSecond),
      };
      return this.#refresh();
    }
    if (event.type === 'ready')
      this.#line(
        'miner',
        'cyan',
        `training on ${String(event.text)}, backend ${String(event.backend)}, paid to ${shortAddress(String(event.address))}`,
      );
    if (event.type === 'estimate' && event.send !== true)
      this.#line(
        'miner',
        'dim',
        `gain ${nats(event.gainNats as number | null)} ± ${nats(event.marginNats as number | null)} ${event.early === true ? 'would pass, but is not yet worth the judging' : 'is not enough yet'}, training on`,
      );
    if (event.type === 'note') this.#line('miner', 'dim', String(event.text));
  }

  /** A line of the coordinator's log: only what a person must see. */
  log(line: string): void {
    const entry = parseObject(line);
    if (!entry || Number(entry.level) < 40) return;
    const err = entry.err as { message?: string } | undefined;
    if (this.#json) return this.#write({ source: 'coordinator', ...entry });
    this.#line('warning', 'yellow', `${String(entry.msg)}${err?.message ? `: ${err.message}` : ''}`);
  }

  childLog(name: string, line: string): void {
    const entry = parseObject(line);
    const level = entry ? String(entry.level ?? '') : '';
    if (entry && !/^(warn|error|[45]0)/.test(level)) return;
    const text = entry ? String(entry.msg ?? entry.message ?? line) : line;
    if (this.#json) return this.#write({ source: name, text });
    this.#line(name, 'yellow', text.replace(/^\d\d:\d\d:\d\d (warn|error): /, ''));
  }

  note(text: string): void {
    if (this.#json) this.#write({ type: 'note', text });
    else this.#line('pool', 'dim', text);
  }

  end(): void {
    if (!this.#json && this.#environment.terminal) this.#environment.out(CLEAR_LINE);
  }

  #submission(submission: SubmissionView): void {
    const { state, verdict, id } = submission;
    if (submission.progress) return; // the status line is enough
    const details = {
      received: () =>
        `${submission.tensors.length} tensors, ${(submission.bytes / 1e6).toFixed(1)} MB from ${shortAddress(submission.miner)}`,
      queued: () => '',
      evaluating: () => '',
      evaluated: () =>
        verdict
          ? `loss ${nats(verdict.loss_before_nats)} → ${nats(verdict.loss_after_nats)} on ${verdict.windows} windows, ${Math.round(verdict.tokens / Math.max(0.001, verdict.evaluation_ms / 1000)).toLocaleString('en')} tokens/s`
          : '',
      mining: () => '',
      mined: () => '',
      committed: () =>
        submission.blocks ? `blocks B${submission.blocks.first} to B${submission.blocks.last}` : '',
      paid: () =>
        `reward ${formatAmount(BigInt(submission.reward ?? '0'))} to ${shortAddress(submission.miner)}`,
      rejected: () => `${submission.error?.code ?? ''}: ${submission.error?.message ?? ''}`,
    } as const;
    const colour: Paint = state === 'rejected' ? 'red' : state === 'paid' ? 'green' : 'dim';
    const text = details[state as keyof typeof details]();
    this.#line('submission', colour, `${id.slice(0, 8)} ${state.padEnd(10)} ${text}`.trimEnd());
  }

  #line(label: string, colour: Paint, text: string): void {
    const { out, terminal } = this.#environment;
    const time = new Date(this.#environment.now()).toTimeString().slice(0, 8);
    const line = `${this.#paint('dim', time)}  ${this.#paint(colour, label.padEnd(10))}  ${text}\n`;
    out(terminal ? `${CLEAR_LINE}${line}${this.#status}` : line);
  }

  #refresh(): void {
    const { out, terminal, now } = this.#environment;
    const { step, loss, tokensPerSecond } = this.#training;
    const hashes = [...this.#hashing.values()].reduce((sum, rate) => sum + rate, 0);
    this.#status = [
      `head B${this.#height}`,
      `loss ${nats(this.#genesisLoss)} → ${nats(this.#loss)}`,
      `accepted ${this.#accepted}`,
      `training step ${step}, loss ${nats(loss)}, ${Math.round(tokensPerSecond).toLocaleString('en')} tokens/s`,
      `grinding ${(hashes / 1e6).toFixed(1)} MH/s`,
    ].join('  |  ');
    if (terminal) return out(`${CLEAR_LINE}${this.#status}`);
    if (now() - this.#statusAt < PLAIN_STATUS_MS) return;
    this.#statusAt = now();
    this.#line('status', 'dim', this.#status);
  }

  #paint(colour: Paint, text: string): string {
    return this.#environment.color ? `\u001b[${PAINT[colour]}m${text}\u001b[0m` : text;
  }

  #write(value: object): void {
    this.#environment.out(`${JSON.stringify({ at: this.#environment.now(), ...value })}\n`);
  }
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** The end of an epoch and what came of it, in words; nothing for what is in between. */
function epochText({ number, state, shards, submissions }: EpochView): string | undefined {
  const [held, lost] = [true, false].map((holds) => submissions.filter((one) => one.held === holds).length);
  if (state === 'settled')
    return `${number}: ${held} of ${submissions.length} submissions hold on text that nobody had seen, ${lost} forfeit what vests`;
  if (state !== 'revealed' || held !== 0 || lost !== 0) return undefined;
  return `${number} is over: ${shards} held-out shards are public, its ${submissions.length} submissions are checked on them`;
}

/** What the figure rests on. */
function sourceOf({ measured, submission }: LossPoint): string {
  if (measured) return 'measured on the whole public validation set';
  return submission === null ? 'measured on a few windows' : 'estimated by certified gains';
}
