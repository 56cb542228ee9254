import { randomBytes } from 'node:crypto';
import {
  type Frame,
  parseCoreFrame,
  type ToCore,
  type ToGateway,
} from '#coordinator/dispatch/link/frames.ts';
import { BEAT_MS, LinkEnd } from '#coordinator/dispatch/link/link-end.ts';
import type { Admission } from '#coordinator/dispatch/worker-desk.ts';
import type { Hello, SessionSocket } from '#coordinator/dispatch/worker-session.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/** A gateway that asks again so soon has not heard of its new link yet. */
const PATIENCE_MS = 1_500;

export interface RemoteGatewaysParts {
  readonly desk: {
    admit(hello: Hello, line: SessionSocket): Promise<Admission>;
    ban(publicKey: string): void;
  };
  readonly version: string;
  /** To the gateway of this name. */
  readonly write: (gateway: string, text: string) => Promise<void>;
  /** It is linked, has said goodbye or made another link, or went silent or lost a frame. */
  readonly onGateway: (gateway: string, event: 'linked' | 'left' | 'lost') => void;
  readonly onFault: (message: string, error: unknown) => void;
}

interface RemoteLine {
  /** Undefined until it is let in. */
  admission: Admission | undefined;
  isGone: boolean;
}

interface Gateway {
  readonly end: LinkEnd<ToGateway>;
  readonly openedMs: number;
  readonly lines: Map<number, RemoteLine>;
}

/**
 * The core's side of the further gateways: what their workers say goes to the desk, and back. A gateway that is lost,
 * or whose link has lost a frame, has lost its sessions; it announces them again over a new link.
 */
export class RemoteGateways {
  readonly #parts: RemoteGatewaysParts;
  readonly #name = randomBytes(8).toString('hex');
  readonly #gateways = new Map<string, Gateway>();
  readonly #timer: NodeJS.Timeout;
  #isClosed = false;

  constructor(parts: RemoteGatewaysParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.#beat(), BEAT_MS);
  }

  /** A text that came for the core. */
  take(text: string): void {
    if (this.#isClosed) return;
    try {
      this.#takeFrame(parseCoreFrame(text));
    } catch (error) {
      this.#parts.onFault('a gateway sent what is not understood', error);
    }
  }

  /** Every session of a further gateway ends; the gateways keep their workers for the next core. Idempotent. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const name of [...this.#gateways.keys()]) this.#drop(name, 'left');
  }

  #takeFrame(frame: Frame<ToCore>): void {
    const { from, link, version } = frame;
    must(
      version === this.#parts.version,
      'PROTOCOL_VERSION',
      () => `gateway ${from} is of version ${version}, the coordinator of ${this.#parts.version}`,
    );
    const gateway = this.#gateways.get(from);
    if (gateway?.end.name !== link) {
      // Frames of a link that is over may still be on their way; a gateway that has none asks.
      const isNews = gateway === undefined || performance.now() - gateway.openedMs > PATIENCE_MS;
      if (gateway === undefined || (link === '' && isNews)) this.#open(from);
      return;
    }
    const place = gateway.end.take(frame);
    if (place === 'gap') {
      this.#drop(from, 'lost');
      this.#open(from);
    }
    if (place === 'next') for (const message of frame.messages) this.#takeMessage(from, gateway, message);
  }

  #takeMessage(name: string, gateway: Gateway, message: ToCore): void {
    if (message.t === 'join') return void this.#join(gateway, message.line, message.hello as Hello);
    if (message.t === 'ban') return this.#parts.desk.ban(message.publicKey);
    if (message.t === 'bye') return this.#drop(name, 'left');
    const line = gateway.lines.get(message.line);
    if (message.t === 'leave') {
      gateway.lines.delete(message.line);
      if (line) line.isGone = true;
      line?.admission?.leave(message.goodbye);
    } else
      try {
        line?.admission?.deliver(message.message);
      } catch (error) {
        gateway.end.send({ t: 'refused', line: message.line, error: this.#refusal(error) });
      }
  }

  async #join({ end, lines }: Gateway, line: number, hello: Hello): Promise<void> {
    const remote: RemoteLine = { admission: undefined, isGone: false };
    lines.set(line, remote);
    try {
      const admission = await this.#parts.desk.admit(hello, {
        send: (message) => end.send({ t: 'to', line, message }),
        close: (code, reason) => end.send({ t: 'close', line, code, reason }),
      });
      if (remote.isGone) return admission.leave();
      remote.admission = admission;
      end.send({ t: 'admitted', line });
    } catch (error) {
      lines.delete(line);
      end.send({ t: 'refused', line, error: this.#refusal(error) });
    }
  }

  #refusal(raw: unknown) {
    const error = PoolError.from(raw);
    if (error.code === 'INTERNAL')
      this.#parts.onFault('a message of a gateway’s worker could not be handled', raw);
    return error.toObject();
  }

  #open(name: string): void {
    this.#drop(name, 'left');
    const end = new LinkEnd<ToGateway>(randomBytes(8).toString('hex'), {
      from: this.#name,
      version: this.#parts.version,
      write: (text) => this.#parts.write(name, text),
      onBroken: () => this.#drop(name, 'lost'),
    });
    this.#gateways.set(name, { end, openedMs: performance.now(), lines: new Map() });
    end.beat();
    this.#parts.onGateway(name, 'linked');
  }

  #drop(name: string, how: 'left' | 'lost'): void {
    const gateway = this.#gateways.get(name);
    if (!gateway) return;
    this.#gateways.delete(name);
    gateway.end.break();
    for (const line of gateway.lines.values()) {
      line.isGone = true;
      line.admission?.leave();
    }
    this.#parts.onGateway(name, how);
  }

  #beat(): void {
    const nowMs = performance.now();
    for (const [name, { end }] of [...this.#gateways]) {
      if (end.isSilent(nowMs)) this.#drop(name, 'lost');
      else end.beat();
    }
  }
}
