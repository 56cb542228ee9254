import { Worker } from 'node:worker_threads';
import { PoolError } from '#shared/errors/pool-error.ts';

const THREAD_URL = new URL('./hash-thread.mjs', import.meta.url);

interface Waiting {
  resolve(answer: string): void;
  reject(error: unknown): void;
}

/** One stream of blocks that becomes a SHA-256. */
export interface StreamHash {
  /** The block, in shared memory, must not change before this resolves. */
  update(block: Uint8Array): Promise<unknown>;
  /** Hex. Ends the stream. */
  digest(): Promise<string>;
  /** Ends the stream without a result. */
  drop(): Promise<unknown>;
}

/**
 * A thread that hashes, started when it is first needed: uploads run at the speed of receiving and hashing side by
 * side instead of one after the other, and the pool's main thread stays free for everybody else.
 */
export class HashThread {
  #worker: Worker | undefined;
  /** In the order of the messages, as is that of the answers. */
  #waiting: Waiting[] = [];
  #streams = 0;

  open(): StreamHash {
    const stream = ++this.#streams;
    return {
      update: (block) => this.#ask({ stream, block }),
      digest: () => this.#ask({ stream, end: true }),
      drop: () => (this.#worker ? this.#ask({ stream }) : Promise.resolve()),
    };
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #ask(message: { stream: number; block?: Uint8Array; end?: true }): Promise<string> {
    this.#worker ??= this.#start();
    const worker = this.#worker;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      worker.postMessage(message);
    });
  }

  #start(): Worker {
    const worker = new Worker(THREAD_URL);
    worker.unref();
    worker.on('message', (answer: string) => this.#waiting.shift()?.resolve(answer));
    const end = (cause: unknown) => {
      this.#worker = undefined;
      const error = new PoolError('UNAVAILABLE', 'the hashing thread ended', {}, { cause });
      for (const { reject } of this.#waiting.splice(0)) reject(error);
    };
    worker.on('error', end);
    worker.on('exit', end);
    return worker;
  }
}
