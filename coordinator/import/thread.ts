import { Worker } from 'node:worker_threads';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { PoolError } from '#shared/errors/pool-error.ts';

/** The largest tokenizers and GGUF headers take some hundred megabytes of objects. */
const MAX_HEAP_MB = 2_048;

export interface ThreadJob {
  readonly url: URL;
  readonly data: unknown;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  /** Of the refusal of a job that takes too long, too much memory, or fails without a code. */
  readonly code: ErrorCode;
  /** What the job does, for that refusal: "the tokenizer could not …". */
  readonly what: string;
}

/**
 * Runs a parser on a stranger's file in a thread, where a deadline and a memory limit can end it. The thread posts
 * `{result}`, `{refusal}` (a PoolError as an object) or `{failure}` (a text).
 */
export async function runInThread<T>(job: ThreadJob): Promise<T> {
  const { url, data, deadlineMs, signal, code, what } = job;
  const refuse = (why: string) => new PoolError(code, `${what}: ${why}`);
  signal.throwIfAborted();
  const worker = new Worker(url, {
    workerData: data,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
    // What a broken parser prints must not mix with our output.
    stdout: true,
    stderr: true,
  });
  let timer: NodeJS.Timeout | undefined;
  let stop = () => {};
  try {
    return await new Promise<T>((resolve, reject) => {
      timer = setTimeout(() => reject(refuse(`not done after ${deadlineMs / 1000} s`)), deadlineMs);
      stop = () => reject(signal.reason as Error);
      signal.addEventListener('abort', stop, { once: true });
      worker.once('message', (message: { result: T; refusal?: unknown; failure?: string }) => {
        if (message.refusal !== undefined) reject(PoolError.fromObject(message.refusal));
        else if (message.failure !== undefined) reject(refuse(message.failure.slice(0, 300)));
        else resolve(message.result);
      });
      worker.once('error', (error) => reject(refuse(error.message.slice(0, 300))));
      worker.once('exit', () => reject(refuse('its thread ended')));
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    await worker.terminate();
  }
}
