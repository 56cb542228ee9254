import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9 } as const;

export interface FrameOptions {
  readonly opcode?: keyof typeof OPCODE;
  /** The last frame of its message. */
  readonly fin?: boolean;
  /** The bit that says the payload is compressed. */
  readonly compressed?: boolean;
}

/** One WebSocket frame of a client, masked as it must be. */
export function frame(
  payload: Uint8Array,
  { opcode = 'text', fin = true, compressed = false }: FrameOptions = {},
): Buffer {
  const first = (fin ? 0x80 : 0) | (compressed ? 0x40 : 0) | OPCODE[opcode];
  const { length } = payload;
  const head = length < 126 ? Buffer.alloc(2) : length < 65_536 ? Buffer.alloc(4) : Buffer.alloc(10);
  head[0] = first;
  head[1] = 0x80 | (length < 126 ? length : length < 65_536 ? 126 : 127);
  if (length >= 65_536) head.writeBigUInt64BE(BigInt(length), 2);
  else if (length >= 126) head.writeUInt16BE(length, 2);
  const mask = randomBytes(4);
  const masked = Buffer.from(payload);
  for (let i = 0; i < length; i++) masked[i] = (masked[i] as number) ^ (mask[i % 4] as number);
  return Buffer.concat([head, mask, masked]);
}

/** A WebSocket of a client that keeps to no rule but the opening's. */
export class RoughSocket {
  readonly socket: Socket;
  /** Status of the answer to the upgrade. */
  readonly status: number;
  #received: Buffer = Buffer.alloc(0);
  #isClosed = false;
  readonly closed: Promise<void>;

  private constructor(socket: Socket, answer: { status: number; rest: Buffer }) {
    this.socket = socket;
    this.status = answer.status;
    this.#received = answer.rest;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#isClosed = true;
        resolve();
      });
    });
  }

  static async open(url: string, from = '127.0.0.1'): Promise<RoughSocket> {
    const { hostname, port, pathname } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), localAddress: from });
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    const key = randomBytes(16).toString('base64');
    socket.write(
      `GET ${pathname} HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`,
    );
    const [first] = (await once(socket, 'data')) as [Buffer];
    const end = first.indexOf('\r\n\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first.toString('latin1'))?.[1]);
    return new RoughSocket(socket, { status, rest: first.subarray(end + 4) });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  write(bytes: Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  /** The code of the close frame that came, once the other side has ended the connection. */
  async closeCode(): Promise<number | undefined> {
    await this.closed;
    for (let at = 0; at + 2 <= this.#received.length; ) {
      const length = (this.#received[at + 1] as number) & 0x7f;
      const start = at + (length === 126 ? 4 : length === 127 ? 10 : 2);
      const size = length === 126 ? this.#received.readUInt16BE(at + 2) : length;
      if (((this.#received[at] as number) & 0x0f) === OPCODE.close) return this.#received.readUInt16BE(start);
      at = start + size;
    }
    return undefined;
  }

  end(): void {
    this.socket.destroy();
  }
}
