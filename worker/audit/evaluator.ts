import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import type { WantedBackend } from '#shared/env.ts';
import type { LossEvaluator } from '#worker/audit/losses.ts';
import { Evaluator } from '#worker/evaluate/evaluator.ts';
import { silentLog } from '#worker/log.ts';
import { chooseBackend, describeBackend } from '#worker/model/backend/choose.ts';
import { ProcessHost } from '#worker/process/host.ts';
import type { ChildSetting } from '#worker/process/setting.ts';

export interface EvaluatorOptions {
  readonly coordinator: string;
  readonly backend: WantedBackend;
  readonly now: () => number;
  /** What a person should know of the backend. */
  note(text: string): void;
}

/** One submission on a slow machine with a large model. */
const DEADLINE_MS = 2 * 3600 * 1000;
/** Tensors are shared by neighbouring submissions; the newest that fit are kept while the audit runs. */
const CACHE_BYTES = 4 * 2 ** 30;
const EVALUATIONS_PER_PROCESS = 500;
const LEAST_PROCESS_BYTES = 4 * 2 ** 30;

/**
 * The evaluation process of a worker, for an audit: started when it is first asked for, ended by `close`, which also
 * removes its cache.
 */
export class AuditEvaluator {
  readonly #options: EvaluatorOptions;
  readonly #signal: AbortSignal;
  #started: Promise<{ evaluator: Evaluator; host: ProcessHost }> | undefined;
  #cacheDir: string | undefined;

  constructor(options: EvaluatorOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  async get(): Promise<LossEvaluator> {
    this.#started ??= this.#start();
    return (await this.#started).evaluator;
  }

  async close(): Promise<void> {
    const started = await this.#started?.catch(() => undefined);
    await started?.host.close();
    if (this.#cacheDir !== undefined) await rm(this.#cacheDir, { recursive: true, force: true });
  }

  async #start(): Promise<{ evaluator: Evaluator; host: ProcessHost }> {
    const { coordinator, now, note } = this.#options;
    const backend = await chooseBackend(this.#options.backend, { log: silentLog, signal: this.#signal });
    for (const text of backend.notes) note(text);
    note(`evaluating with ${describeBackend(backend)}`);
    const cacheDir = await mkdtemp(join(tmpdir(), 'aiblock-audit-'));
    this.#cacheDir = cacheDir;
    const setting: ChildSetting = {
      coordinators: [coordinator],
      backend: backend.name,
      cacheDir,
      cacheBytes: CACHE_BYTES,
    };
    const host = new ProcessHost(
      {
        entry: new URL('../evaluate/process.ts', import.meta.url),
        setting,
        memoryLimitBytes: Math.max(LEAST_PROCESS_BYTES, totalmem() / 2),
        crashCode: 'EVALUATION_CRASHED',
        requestsPerChild: EVALUATIONS_PER_PROCESS,
      },
      silentLog,
    );
    const evaluator = new Evaluator(host, { deadlineMs: DEADLINE_MS, now });
    try {
      await evaluator.start(this.#signal);
      return { evaluator, host };
    } catch (error) {
      await host.close();
      throw error;
    }
  }
}
