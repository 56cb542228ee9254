import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { EnrolmentView } from '#shared/api/worker-schemas.ts';
import { concatBytes, fromHex } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { addressOf, verifySignature } from '#shared/crypto/keys.ts';
import {
  type FromWorker,
  fromWorkerSchema,
  parseMessage,
  type ToWorker,
  toWorkerSchema,
  WORKER_PROTOCOL_VERSION,
} from '#shared/protocol/worker.ts';

type Of<T extends FromWorker['type']> = Extract<FromWorker, { type: T }>;

/** A coordinator's worker gateway and payloads, small enough to be told by a test what to do. */
export class TestGateway {
  readonly network = randomBytes(32);
  /** Every message of every line, in order; all of them have passed the real schema. */
  readonly received: FromWorker[] = [];
  readonly faults: unknown[] = [];
  /** Payloads by hash. */
  readonly payloads = new Map<string, Uint8Array>();
  readonly payloadRequests: { hash: string; authorization: string | undefined }[] = [];
  lines = 0;
  /** What is sent instead of the welcome. */
  refusal: ToWorker | undefined;
  protocol = WORKER_PROTOCOL_VERSION;
  /** What `GET /enrolment` answers, and what it was asked. */
  enrolment: EnrolmentView = { key: null, token: null };
  readonly enrolmentRequests: { url: string; authorization: string | undefined }[] = [];
  #http: Server;
  #sockets = new WebSocketServer({ noServer: true });
  #line: WebSocket | undefined;
  #waiting: (() => void)[] = [];

  private constructor(http: Server) {
    this.#http = http;
    http.on('upgrade', (request, socket, head) => {
      this.#sockets.handleUpgrade(request, socket, head, (line) => this.#open(line));
    });
    http.on('request', (request, response) => {
      if (request.url === '/healthz') return void response.end('{"ok":true}');
      if (request.url?.startsWith('/enrolment')) {
        this.enrolmentRequests.push({ url: request.url, authorization: request.headers.authorization });
        return void response.end(JSON.stringify(this.enrolment));
      }
      const hash = request.url?.slice('/payload/'.length) ?? '';
      this.payloadRequests.push({ hash, authorization: request.headers.authorization });
      const bytes = this.payloads.get(hash);
      if (bytes) response.end(bytes);
      else {
        const error = { code: 'NOT_FOUND', message: 'there is no payload of this hash', details: {} };
        response.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify({ error }));
      }
    });
  }

  static async start(port = 0): Promise<TestGateway> {
    const http = createServer();
    http.listen(port, '127.0.0.1');
    await once(http, 'listening');
    return new TestGateway(http);
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  addPayload(bytes: Uint8Array): string {
    const hash = createHash('sha256').update(bytes).digest('hex');
    this.payloads.set(hash, bytes);
    return hash;
  }

  send(message: ToWorker): void {
    this.#line?.send(JSON.stringify(toWorkerSchema.parse(message)));
  }

  /** Breaks the line as a lost network does, or closes it with a code. */
  drop(code?: number): void {
    if (code === undefined) this.#line?.terminate();
    else this.#line?.close(code);
  }

  /** The first message of this type that fits, now or later. */
  async next<T extends FromWorker['type']>(
    type: T,
    fits: (message: Of<T>) => boolean = () => true,
  ): Promise<Of<T>> {
    for (;;) {
      const found = this.received.find((m): m is Of<T> => m.type === type && fits(m as Of<T>));
      if (found) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  count(type: FromWorker['type']): number {
    return this.received.filter((message) => message.type === type).length;
  }

  /** Resolves when `condition` holds; looked at after every message and line. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async close(): Promise<void> {
    for (const line of this.#sockets.clients) line.terminate();
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, 'close');
  }

  #open(line: WebSocket): void {
    this.#line = line;
    this.lines += 1;
    const challenge = randomBytes(32);
    let hello: Of<'hello'> | undefined;
    line.on('message', (data) => {
      try {
        const message = parseMessage(fromWorkerSchema, String(data));
        this.received.push(message);
        if (message.type === 'hello') hello = message;
        if (message.type === 'proof' && hello) this.#welcome(line, { hello, message, challenge });
      } catch (error) {
        this.faults.push(error);
      }
      this.#wake();
    });
    line.on('close', () => this.#wake());
    this.send({
      type: 'challenge',
      challenge: challenge.toString('hex'),
      network: this.network.toString('hex'),
      protocol: this.protocol,
    });
    this.#wake();
  }

  #welcome(
    line: WebSocket,
    { hello, message, challenge }: { hello: Of<'hello'>; message: Of<'proof'>; challenge: Uint8Array },
  ): void {
    const publicKey = fromHex(hello.publicKey, 33);
    const proven = digest('challenge', this.network, concatBytes(challenge, publicKey));
    if (!verifySignature(fromHex(message.signature, 64), proven, publicKey)) {
      this.faults.push(new Error('the proof does not hold'));
      line.terminate();
    } else if (this.refusal) {
      this.send(this.refusal);
      line.close(4401);
    } else {
      const address = addressOf(publicKey);
      this.send({ type: 'welcome', session: `session-${this.lines}`, heartbeatMs: 50, address });
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
