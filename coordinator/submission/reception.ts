import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import type { HashThread } from '#coordinator/submission/hash-thread.ts';
import { TensorReceiver } from '#coordinator/submission/receive-tensor.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import type { SubmittedTensor } from '#shared/protocol/submission.ts';

export interface PlannedTensor {
  readonly tensor: SubmittedTensor;
  readonly bytes: number;
  /** Checked and kept; checked only, as its bytes are kept under another name; or passed over, as the head has it. */
  readonly use: 'keep' | 'check' | 'skip';
}

/** Tensors whose last bytes may be on their way to the disk while the next ones come. */
const MAX_ENDING = 8;

/**
 * Takes the bytes behind the header, in one stream or in many, tensor after tensor: each into a file of its own in
 * `folder`, named by its hash.
 */
export class Reception {
  readonly #tensors: readonly PlannedTensor[];
  readonly #folder: string;
  readonly #thread: HashThread;
  readonly #ending = new Set<Promise<void>>();
  #failure: unknown;
  #next = 0;
  #current: { receiver: TensorReceiver | null; missing: number } | undefined;
  #received = 0;
  readonly totalBytes: number;

  constructor(tensors: readonly PlannedTensor[], folder: string, thread: HashThread) {
    this.#tensors = tensors;
    this.#folder = folder;
    this.#thread = thread;
    this.totalBytes = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get received(): number {
    return this.#received;
  }

  /** From where another process can go on: bytes that were only checked are checked again. */
  get resumable(): number {
    const open = this.#current && this.#tensors[this.#next - 1];
    if (open?.use !== 'check') return this.#received;
    return this.#received - (open.bytes - (this.#current?.missing ?? 0));
  }

  get complete(): boolean {
    return this.#received === this.totalBytes;
  }

  /**
   * Goes on where another process was interrupted, or a little before: what stands in the file of the tensor at that
   * place is read again.
   */
  async resume(received: number): Promise<void> {
    for (let tensor = this.#tensors[0]; tensor; tensor = this.#tensors[this.#next]) {
      if (this.#received + tensor.bytes > received) break;
      this.#received += tensor.bytes;
      this.#next += 1;
    }
    const part = received - this.#received;
    const begun = this.#tensors[this.#next];
    if (part === 0 || begun === undefined || begun.use === 'check') return;
    const current = await this.#open(true);
    if (begun.use === 'keep')
      for await (const piece of createReadStream(this.#file(begun.tensor), { end: part - 1 }))
        await current.receiver?.take(piece as Uint8Array);
    current.missing -= part;
    this.#received += part;
  }

  /** Everything of this stream; WEIGHTS_HEADER where it goes on behind the last tensor. */
  async take(pieces: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const piece of pieces) {
      let rest = piece;
      while (rest.length > 0) {
        const current = this.#current ?? (await this.#open(false));
        const part = rest.subarray(0, current.missing);
        const wait = current.receiver?.take(part);
        if (wait !== undefined) await wait;
        current.missing -= part.length;
        this.#received += part.length;
        rest = rest.subarray(part.length);
        if (current.missing === 0) await this.#end();
      }
    }
  }

  /** Makes everything received so far durable. */
  async flush(): Promise<void> {
    await this.#current?.receiver?.flush();
    await Promise.all(this.#ending);
    this.#throwFailure();
  }

  /** Lets go of files and memory. */
  async close(): Promise<void> {
    await this.#current?.receiver?.close();
    this.#current = undefined;
    await Promise.all(this.#ending);
  }

  async #open(again: boolean): Promise<{ receiver: TensorReceiver | null; missing: number }> {
    const planned = this.#tensors[this.#next];
    must(planned, 'WEIGHTS_HEADER', 'there are bytes behind the last tensor');
    this.#next += 1;
    const { tensor, bytes, use } = planned;
    const file = use === 'keep' ? this.#file(tensor) : null;
    const receiver =
      use === 'skip' ? null : await TensorReceiver.open({ tensor, bytes, file, again }, this.#thread);
    this.#current = { receiver, missing: bytes };
    return this.#current;
  }

  /** Small tensors would wait for the disk one after the other: their ends overlap. */
  async #end(): Promise<void> {
    const receiver = this.#current?.receiver;
    this.#current = undefined;
    if (receiver) {
      const ending = receiver
        .finish()
        .catch((error: unknown) => {
          this.#failure ??= error;
        })
        .then(() => receiver.close())
        .finally(() => this.#ending.delete(ending));
      this.#ending.add(ending);
    }
    while (this.#ending.size >= MAX_ENDING) await Promise.race(this.#ending);
    this.#throwFailure();
  }

  #file(tensor: SubmittedTensor): string {
    return join(this.#folder, toHex(tensor.payloadHash));
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure;
  }
}
