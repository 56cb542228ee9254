import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { DriverOrder, DriverReport } from '#test/bench/gateway/driver.ts';
import { until } from '#test/helpers/until.ts';

const ENTRY = fileURLToPath(new URL('./driver.ts', import.meta.url));

/** The process of the simulated workers. */
export class DriverHandle {
  readonly #child: ChildProcess;
  readonly #log: string;

  private constructor(child: ChildProcess, log: string) {
    this.#child = child;
    this.#log = log;
  }

  static start(log: string): DriverHandle {
    return new DriverHandle(fork(ENTRY, [log], { execArgv: ['--import', 'tsx'] }), log);
  }

  order(order: DriverOrder): void {
    this.#child.send(order);
  }

  async report(): Promise<DriverReport> {
    const answer = once(this.#child, 'message');
    this.order({ t: 'report' });
    const [report] = (await answer) as [DriverReport];
    return report;
  }

  /** Resolves when this many workers are let in, and forgets what was reported meanwhile. */
  async attach(order: Omit<Extract<DriverOrder, { t: 'attach' }>, 't'>): Promise<void> {
    const before = (await this.report()).isIn;
    this.order({ t: 'attach', ...order });
    await until('the workers are attached', async () => (await this.report()).isIn >= before + order.count);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Hashes of the shares that were acknowledged. */
  async acknowledged(): Promise<string[]> {
    return (await readFile(this.#log, 'utf8')).split('\n').filter((line) => line !== '');
  }

  /** Idempotent. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGCONT');
    if (this.#child.connected) this.order({ t: 'end' });
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(timer);
  }
}
