import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Frame,
  frameText,
  parseGatewayFrame,
  type ToCore,
  type ToGateway,
} from '#coordinator/dispatch/link/frames.ts';
import { BEAT_MS, LinkEnd } from '#coordinator/dispatch/link/link-end.ts';
import type { Admission, WorkerDesk, WorkerLine } from '#coordinator/dispatch/worker-desk.ts';
import type { Hello } from '#coordinator/dispatch/worker-session.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { FromWorker, ToWorker } from '#shared/protocol/worker.ts';

/** A worker waits so long for the core's answer, and comes again later. */
const ADMIT_MS = 8_000;
const GOODBYE_MS = 1_000;

export interface CoreLinkParts {
  /** Unlike that of any other gateway, also of one that ran before. */
  readonly name: string;
  readonly version: string;
  /** To the core. */
  readonly write: (text: string) => Promise<void>;
  readonly onLink: (isUp: boolean) => void;
  readonly onFault: (message: string, error: unknown) => void;
}

/** A worker's line of this gateway, as it stands towards the core. */
interface LocalLine {
  readonly hello: Hello;
  readonly line: WorkerLine;
  /** Ends the wait for the first admission. */
  readonly settle: { resolve(): void; reject(error: PoolError): void };
  wasAdmitted: boolean;
  /** What the worker says is about leases of a link that is over. */
  isMuted: boolean;
}

/**
 * A further gateway's desk: the core, over a link. Where the link breaks, the workers stay: over the next one they
 * are announced again, and welcomed again, which tells them that their leases are gone.
 */
export class CoreLink implements WorkerDesk {
  readonly #parts: CoreLinkParts;
  readonly #lines = new Map<number, LocalLine>();
  readonly #timer: NodeJS.Timeout;
  #lastLine = 0;
  #end: LinkEnd<ToCore> | undefined;

  constructor(parts: CoreLinkParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.#beat(), BEAT_MS);
    this.#call();
  }

  get isUp(): boolean {
    return this.#end !== undefined;
  }

  get workers(): number {
    return this.#lines.size;
  }

  admit(hello: Hello, line: WorkerLine): Promise<Admission> {
    const number = ++this.#lastLine;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#leave(number, false);
        reject(new PoolError('UNAVAILABLE', 'the pool does not answer; try again in a moment'));
      }, ADMIT_MS);
      const settle = {
        resolve: () => {
          clearTimeout(timer);
          resolve({
            deliver: (message) => this.#deliver(number, message),
            leave: (goodbye = false) => this.#leave(number, goodbye),
          });
        },
        reject: (error: PoolError) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      this.#lines.set(number, { hello, line, settle, wasAdmitted: false, isMuted: false });
      this.#end?.send({ t: 'join', line: number, hello });
    });
  }

  ban(publicKey: string): void {
    this.#end?.send({ t: 'ban', publicKey });
  }

  /** A text that came for this gateway. */
  take(text: string): void {
    try {
      this.#takeFrame(parseGatewayFrame(text));
    } catch (error) {
      this.#parts.onFault('the core sent what is not understood', error);
    }
  }

  /** Tells the core that the sessions are over. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    const end = this.#end;
    end?.send({ t: 'bye' });
    // A Redis that does not answer is left behind.
    await Promise.race([end?.flushed(), sleep(GOODBYE_MS)]);
    end?.break();
  }

  #takeFrame(frame: Frame<ToGateway>): void {
    if (this.#end?.name !== frame.link) {
      // The first frame of a link opens it; any other belongs to one that is over.
      if (frame.seq !== 1) return;
      this.#begin(frame.link);
    }
    const place = this.#end?.take(frame);
    if (place === 'gap') this.#end?.break();
    if (place === 'next') for (const message of frame.messages) this.#takeMessage(message);
  }

  #begin(name: string): void {
    this.#end?.break();
    const end = new LinkEnd<ToCore>(name, {
      from: this.#parts.name,
      version: this.#parts.version,
      write: this.#parts.write,
      onBroken: () => this.#lose(end),
    });
    this.#end = end;
    for (const [number, { hello }] of this.#lines) end.send({ t: 'join', line: number, hello });
    end.beat();
    this.#parts.onLink(true);
  }

  #lose(end: LinkEnd<ToCore>): void {
    if (this.#end !== end) return;
    this.#end = undefined;
    for (const line of this.#lines.values()) line.isMuted = line.wasAdmitted;
    this.#parts.onLink(false);
  }

  #takeMessage(message: ToGateway): void {
    const local = this.#lines.get(message.line);
    if (!local) return;
    switch (message.t) {
      case 'to':
        return this.#pass(local, message.message);
      case 'admitted':
        if (!local.wasAdmitted) local.settle.resolve();
        local.wasAdmitted = true;
        return;
      case 'refused':
        return this.#refuse(message.line, local, PoolError.fromObject(message.error));
      case 'close':
        return local.line.close(message.code, message.reason);
    }
  }

  /** A worker that is welcomed again is heard from where it has received all that came before. */
  #pass(local: LocalLine, message: ToWorker): void {
    if (message.type === 'welcome' && local.isMuted)
      local.line.roundTrip(() => {
        local.isMuted = false;
      });
    local.line.send(message);
  }

  #refuse(number: number, local: LocalLine, error: PoolError): void {
    if (!local.wasAdmitted) {
      this.#lines.delete(number);
      local.settle.reject(error);
    } else if (local.isMuted) {
      // Announced again, and not let in again.
      local.line.refuse(error);
      local.line.close(4401, error.code);
    } else local.line.refuse(error);
  }

  #deliver(number: number, message: FromWorker): void {
    if (this.#lines.get(number)?.isMuted === false) this.#end?.send({ t: 'from', line: number, message });
  }

  #leave(number: number, goodbye: boolean): void {
    if (this.#lines.delete(number)) this.#end?.send({ t: 'leave', line: number, goodbye });
  }

  #beat(): void {
    if (this.#end?.isSilent(performance.now())) this.#end.break();
    if (this.#end) this.#end.beat();
    else this.#call();
  }

  /** Asks for a link. */
  #call(): void {
    const head = { from: this.#parts.name, version: this.#parts.version, link: '', seq: 0, ack: 0 };
    this.#parts.write(frameText(head, [])).catch(() => undefined);
  }
}
