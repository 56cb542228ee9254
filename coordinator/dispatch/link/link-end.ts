import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { type FrameHead, frameText } from '#coordinator/dispatch/link/frames.ts';

/** How often each end says that it is there. */
export const BEAT_MS = 500;
/** An end that is silent for this long is lost, with all that it had. */
export const SILENCE_MS = 3_000;
/** Bytes on their way that the other end has not taken: a link that carries no more than this has stalled. */
const MAX_UNTAKEN_BYTES = 64 * 1024 * 1024;
const MAX_FRAME_BYTES = 1024 * 1024;
const RETRY_MS = 100;

export interface LinkEndParts {
  readonly from: string;
  readonly version: string;
  /** Resolves when the text is on its way; where it rejects, it may be on its way all the same. */
  readonly write: (text: string) => Promise<void>;
  /** The link carries nothing any more. */
  readonly onBroken: () => void;
}

/**
 * One end of a link: numbers the frames that it sends, sends each until it is on its way, and tells from the numbers
 * of those that come whether one is missing. Nothing is sent anew over another link: a link that loses a frame ends.
 */
export class LinkEnd<Message> {
  readonly #parts: LinkEndParts;
  readonly #name: string;
  #seq = 0;
  #taken = 0;
  #heardMs = performance.now();
  #waiting: string[] = [];
  #waitingBytes = 0;
  /** Sent and not taken yet. */
  #untaken: { seq: number; bytes: number }[] = [];
  #untakenBytes = 0;
  #beatDue = false;
  #sending: Promise<void> | undefined;
  #isBroken = false;

  constructor(name: string, parts: LinkEndParts) {
    this.#name = name;
    this.#parts = parts;
  }

  get name(): string {
    return this.#name;
  }

  /** Nothing was heard for too long. */
  isSilent(nowMs: number): boolean {
    return nowMs - this.#heardMs > SILENCE_MS;
  }

  send(message: Message): void {
    if (this.#isBroken) return;
    const text = JSON.stringify(message);
    this.#waiting.push(text);
    this.#waitingBytes += text.length;
    if (this.#waitingBytes + this.#untakenBytes > MAX_UNTAKEN_BYTES) return this.break();
    this.#flush();
  }

  /** Says that it is there. */
  beat(): void {
    if (this.#isBroken) return;
    this.#beatDue = true;
    this.#flush();
  }

  /** Whether a frame of this link is the next one. `gap`: one is missing, and with it the link's worth. */
  take({ seq, ack }: Pick<FrameHead, 'seq' | 'ack'>): 'next' | 'again' | 'gap' {
    if (seq <= this.#taken) return 'again';
    if (seq > this.#taken + 1) return 'gap';
    this.#taken = seq;
    this.#heardMs = performance.now();
    while ((this.#untaken[0]?.seq ?? Number.POSITIVE_INFINITY) <= ack)
      this.#untakenBytes -= this.#untaken.shift()?.bytes ?? 0;
    return 'next';
  }

  /** Resolves when all that was said is on its way. */
  async flushed(): Promise<void> {
    await this.#sending;
  }

  /** Idempotent. */
  break(): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#waiting = [];
    this.#parts.onBroken();
  }

  #flush(): void {
    this.#sending ??= this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    // What this turn of the event loop still has to say travels in the same frame.
    await setImmediate();
    while (!this.#isBroken && (this.#waiting.length > 0 || this.#beatDue)) {
      this.#beatDue = false;
      const { from, version } = this.#parts;
      const messages = this.#nextMessages();
      const seq = ++this.#seq;
      await this.#write(frameText({ from, version, link: this.#name, seq, ack: this.#taken }, messages));
    }
    // With the last look, and nothing awaited in between: what is said from now on begins another frame.
    this.#sending = undefined;
  }

  #nextMessages(): string[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#waiting.length && bytes < MAX_FRAME_BYTES)
      bytes += (this.#waiting[count++] as string).length;
    this.#waitingBytes -= bytes;
    this.#untaken.push({ seq: this.#seq + 1, bytes });
    this.#untakenBytes += bytes;
    return this.#waiting.splice(0, count);
  }

  /** Until it is on its way; twice does no harm, as the other end counts. */
  async #write(text: string): Promise<void> {
    while (!this.#isBroken)
      try {
        return await this.#parts.write(text);
      } catch {
        await sleep(RETRY_MS);
      }
  }
}
