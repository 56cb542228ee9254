import { closeSync, openSync, writeSync } from 'node:fs';
import process from 'node:process';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import type { Role } from '#shared/protocol/worker.ts';
import { SimulatedWorker } from '#test/bench/gateway/simulated-worker.ts';

/** What the driver is told, one message each. */
export type DriverOrder =
  | { t: 'attach'; url: string; token: string; count: number; roles: readonly Role[]; prefix: string }
  /** Shares per second of all workers together; 0 stops. */
  | { t: 'pace'; sharesPerSecond: number }
  | { t: 'report' }
  /** Sends a late answer to every evaluation that was ever leased. */
  | { t: 'answer-late' }
  | { t: 'end' };

export interface DriverReport {
  readonly t: 'report';
  readonly isIn: number;
  readonly canShare: number;
  /** Shares sent, and acknowledged, since the last report. */
  readonly sent: number;
  readonly latenciesMs: readonly number[];
  readonly refused: Readonly<Record<string, number>>;
  /** When connections were begun, and workers let in, since the last report: Unix milliseconds. */
  readonly attemptsMs: readonly number[];
  readonly welcomesMs: readonly number[];
  /** Leases of evaluations that are held now. */
  readonly evaluations: number;
}

const HEARTBEAT_MS = 1_000;
const TICK_MS = 2;
/** New connections in a tick while workers are attached for the first time. */
const ATTACH_AT_ONCE = 4;
const ATTACH_TICK_MS = 10;

/** A thousand workers in a process of their own. Its log holds the hash of every share that was acknowledged. */
class Driver {
  readonly #log = openSync(process.argv[2] ?? '/dev/null', 'a');
  readonly #workers: SimulatedWorker[] = [];
  readonly #leases: string[] = [];
  #report = emptyReport();
  #pace = 0;
  #owed = 0;
  #tickedMs = performance.now();
  #next = 0;

  constructor() {
    setInterval(() => this.#tick(), TICK_MS);
    setInterval(() => this.#beat(), HEARTBEAT_MS / 10);
    process.on('message', (order: DriverOrder) => this.#obey(order));
    process.on('disconnect', () => process.exit());
  }

  #obey(order: DriverOrder): void {
    switch (order.t) {
      case 'attach':
        return this.#attach(order);
      case 'pace':
        this.#pace = order.sharesPerSecond;
        return;
      case 'report':
        return this.#tell();
      case 'answer-late':
        return this.#answerLate();
      case 'end':
        for (const worker of this.#workers) worker.close();
        closeSync(this.#log);
        return void setTimeout(() => process.exit(), 200);
    }
  }

  #attach({ url, token, count, roles, prefix }: Extract<DriverOrder, { t: 'attach' }>): void {
    const settings = Array.from({ length: count }, (_, i) => ({
      ...{ url, token, roles, key: newKeyPair(), name: `${prefix}-${i}` },
    }));
    const timer = setInterval(() => {
      for (const each of settings.splice(0, ATTACH_AT_ONCE))
        this.#add(new SimulatedWorker(each, this.#events));
      if (settings.length === 0) clearInterval(timer);
    }, ATTACH_TICK_MS);
  }

  #add(worker: SimulatedWorker): void {
    this.#workers.push(worker);
    worker.connect();
  }

  readonly #events = {
    onWelcome: () => void this.#report.welcomesMs.push(Date.now()),
    onAttempt: () => void this.#report.attemptsMs.push(Date.now()),
    onCredited: (hash: string, ms: number) => {
      writeSync(this.#log, `${hash}\n`);
      this.#report.latenciesMs.push(ms);
    },
    onRefused: (code: string) => {
      this.#report.refused[code] = (this.#report.refused[code] ?? 0) + 1;
    },
  };

  /** The pace is held whether answers come or not. */
  #tick(): void {
    const nowMs = performance.now();
    this.#owed += (this.#pace * (nowMs - this.#tickedMs)) / 1_000;
    this.#tickedMs = nowMs;
    for (let tried = 0; this.#owed >= 1 && tried < this.#workers.length; tried++) {
      const worker = this.#workers[this.#next++ % this.#workers.length] as SimulatedWorker;
      if (!worker.canShare) continue;
      worker.share();
      this.#report.sent += 1;
      this.#owed -= 1;
    }
    this.#owed = Math.min(this.#owed, this.#pace);
  }

  /** A tenth of the workers each time. */
  #beat(): void {
    const tenth = Math.floor(performance.now() / (HEARTBEAT_MS / 10)) % 10;
    for (const [i, worker] of this.#workers.entries()) {
      if (i % 10 === tenth) worker.beat();
      for (const { lease } of worker.evaluations) if (!this.#leases.includes(lease)) this.#leases.push(lease);
    }
  }

  #answerLate(): void {
    const error = { code: 'INTERNAL', message: 'late', details: {} };
    for (const worker of this.#workers)
      for (const lease of this.#leases) worker.send({ type: 'failed', lease, error });
  }

  #tell(): void {
    const report: DriverReport = {
      t: 'report',
      isIn: this.#workers.filter(({ isIn }) => isIn).length,
      canShare: this.#workers.filter(({ canShare }) => canShare).length,
      evaluations: this.#workers.reduce((sum, { evaluations }) => sum + evaluations.length, 0),
      ...this.#report,
    };
    this.#report = emptyReport();
    process.send?.(report);
  }
}

function emptyReport() {
  const refused: Record<string, number> = {};
  const [latenciesMs, attemptsMs, welcomesMs]: [number[], number[], number[]] = [[], [], []];
  return { sent: 0, latenciesMs, refused, attemptsMs, welcomesMs };
}

new Driver();
