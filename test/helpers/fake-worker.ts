import { randomBytes } from 'node:crypto';
import { WebSocket } from 'ws';
import { blockHash, withNonce } from '#shared/block/header.ts';
import { concatBytes, fromHex, toHex } from '#shared/crypto/bytes.ts';
import { digest } from '#shared/crypto/digest.ts';
import { type KeyPair, sign } from '#shared/crypto/keys.ts';
import { firstDecision } from '#shared/pol/sequential.ts';
import { meetsTarget, targetFromBits } from '#shared/pow/target.ts';
import { attestationDigest, commitmentDigest } from '#shared/protocol/attestation.ts';
import type { Capabilities } from '#shared/protocol/capabilities.ts';
import { proveOwner } from '#shared/protocol/owner.ts';
import {
  type FromWorker,
  HEARTBEAT_MS,
  parseMessage,
  type Role,
  type ToWorker,
  toWorkerSchema,
} from '#shared/protocol/worker.ts';

export type EvaluateLease = Extract<ToWorker, { type: 'evaluate' }>;
type Evaluated = Extract<FromWorker, { type: 'evaluated' }>;
export type MineLease = Extract<ToWorker, { type: 'mine' }>;
export type ChatTask = Extract<ToWorker, { type: 'chat' }>;

export interface FakeWorkerOptions {
  readonly url: string;
  readonly key: KeyPair;
  readonly token: string;
  readonly roles?: readonly Role[];
  readonly name?: string;
  /** Micro-nats per window of a submission (and of a head, which is asked for as a candidate equal to its base). */
  readonly losses?: (lease: EvaluateLease) => { base: (number | null)[]; candidate: (number | null)[] };
  /** Instead of an honest answer. */
  readonly onEvaluate?: (worker: FakeWorker, lease: EvaluateLease) => void;
  readonly onReveal?: (worker: FakeWorker, lease: string) => void;
  /** Whom it works for, with his signature. */
  readonly owner?: KeyPair;
  readonly capabilities?: Capabilities;
  readonly onMine?: (worker: FakeWorker, lease: MineLease) => void;
  readonly onChat?: (worker: FakeWorker, task: ChatTask) => void;
}

/** Loss of each candidate that was evaluated: it is measured with it when it became the head. */
const lossByRoot = new Map<string, number>();

/** One loss for every window of the base, `gain` less for the candidate. */
export const better =
  (gain: number, loss = 5_000_000) =>
  ({ windows, changed, candidateRoot }: EvaluateLease) => {
    const isHead = changed.length === 0;
    if (!isHead) lossByRoot.set(candidateRoot, loss - gain);
    const found = lossByRoot.get(candidateRoot) ?? loss;
    return { base: windows.map(() => (isHead ? found : loss)), candidate: windows.map(() => found) };
  };

/** A worker over the real gateway whose losses, lies and silence a test chooses. It computes nothing but nonces. */
export class FakeWorker {
  readonly options: FakeWorkerOptions;
  /** Every message of the coordinator, in order. */
  readonly received: ToWorker[] = [];
  closed: { code: number; reason: string } | undefined;
  network: Uint8Array = new Uint8Array(32);
  bearer = '';
  /** Time spent in seeking nonces, milliseconds. */
  grindingMs = 0;
  /** Results that were committed to, by lease. */
  readonly #kept = new Map<string, Evaluated>();
  readonly #socket: WebSocket;
  #heartbeat: NodeJS.Timeout | undefined;
  #waiting: (() => void)[] = [];

  private constructor(options: FakeWorkerOptions) {
    this.options = options;
    this.#socket = new WebSocket(new URL('/ws/worker', options.url.replace('http', 'ws')));
    this.#socket.on('message', (data) => this.#receive(parseMessage(toWorkerSchema, String(data))));
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', (code, reason) => {
      clearInterval(this.#heartbeat);
      this.closed = { code, reason: String(reason) };
      this.#wake();
    });
  }

  /** Resolves when it is welcome, or shut out. */
  static async attach(options: FakeWorkerOptions): Promise<FakeWorker> {
    const worker = new FakeWorker(options);
    await worker.until(() => worker.bearer !== '' || worker.closed !== undefined);
    return worker;
  }

  send(message: FromWorker): void {
    this.#socket.send(JSON.stringify(message));
  }

  sendText(text: string | Buffer): void {
    this.#socket.send(text);
  }

  /** Breaks the line as a lost network does. */
  drop(): void {
    this.#socket.terminate();
  }

  /** Leaves what comes where it is. */
  stopReading(): void {
    this.#socket.pause();
  }

  /** Sends nothing more, and keeps the line. */
  fallSilent(): void {
    clearInterval(this.#heartbeat);
  }

  async close(): Promise<void> {
    clearInterval(this.#heartbeat);
    if (!this.closed) this.#socket.close(1000);
    await this.until(() => this.closed !== undefined);
  }

  /** The first message of this type that fits, now or later. */
  async next<T extends ToWorker['type']>(
    type: T,
    fits: (message: Extract<ToWorker, { type: T }>) => boolean = () => true,
  ): Promise<Extract<ToWorker, { type: T }>> {
    for (;;) {
      const found = this.received.find((m) => m.type === type && fits(m as Extract<ToWorker, { type: T }>));
      if (found) return found as Extract<ToWorker, { type: T }>;
      if (this.closed) throw new Error(`closed with ${this.closed.code} before ${type}`);
      await this.#event();
    }
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.#event();
  }

  /** The code of the first refusal. */
  async refusal(): Promise<string> {
    return (await this.next('error')).error.code;
  }

  /** Signs losses for a lease, right or wrong, commits to them, and shows them when it is asked. */
  evaluated(lease: EvaluateLease, change: Partial<Evaluated> = {}): void {
    const result = this.result(lease, change);
    this.#kept.set(lease.lease, result);
    const committed = {
      windows: lease.windows.slice(0, result.base.length),
      base: result.base,
      candidate: result.candidate.map((loss) => (loss === null ? null : Math.trunc(loss))),
      nonce: fromHex(result.nonce, 32),
    };
    const commitment = commitmentDigest(this.network, committed, this.options.key.publicKey);
    this.send({ type: 'committed', lease: lease.lease, commitment: toHex(commitment) });
  }

  /** The losses of the lease up to the look that decides, signed. */
  result(lease: EvaluateLease, change: Partial<Evaluated> = {}): Evaluated {
    const all = (this.options.losses ?? better(100_000))(lease);
    const decided = lease.rule && firstDecision(all.base, all.candidate, lease.rule);
    const count = decided?.windows ?? lease.windows.length;
    const losses = { base: all.base.slice(0, count), candidate: all.candidate.slice(0, count) };
    const windows = lease.windows.slice(0, count);
    const target = {
      submission: fromHex(lease.submission, 32),
      head: fromHex(lease.head, 32),
      baseRoot: fromHex(lease.model.root, 32),
      candidateRoot: fromHex(lease.candidateRoot, 32),
      windows,
      heldOut: lease.heldOut && fromHex(lease.heldOut.root, 32),
    };
    const signature = sign(attestationDigest(this.network, target, losses), this.options.key.secretKey);
    return {
      type: 'evaluated',
      lease: lease.lease,
      ...losses,
      nonce: randomBytes(32).toString('hex'),
      signature: toHex(signature),
      ms: 1,
      tokens: 2 * count,
      ...change,
    };
  }

  /** Seeks the nonces of the range, for real, up to the first that solves the block. */
  mine(lease: MineLease): void {
    const header = fromHex(lease.header, 264);
    const target = targetFromBits(lease.bits);
    const shareTarget = BigInt(`0x${lease.target}`);
    const end = BigInt(lease.start) + BigInt(lease.count);
    const startedMs = performance.now();
    const passed = () => performance.now() - startedMs;
    let isSolved = false;
    for (let n = BigInt(lease.start); n < end && !isSolved; n++) {
      const hash = blockHash(withNonce(header, n));
      if (!meetsTarget(hash, shareTarget)) continue;
      this.share(lease, n, passed());
      isSolved = meetsTarget(hash, target);
    }
    this.grindingMs += passed();
    this.range(lease, passed());
  }

  share({ work, lease }: Pick<MineLease, 'work' | 'lease'>, nonce: bigint, ms = 0): void {
    this.send({ type: 'share', work, lease, nonce: nonce.toString(), ms });
  }

  range({ work, lease, count }: Pick<MineLease, 'work' | 'lease' | 'count'>, ms = 0): void {
    this.send({ type: 'range', work, lease, hashes: count, ms });
  }

  #receive(message: ToWorker): void {
    this.received.push(message);
    if (message.type === 'challenge') this.#prove(message);
    else if (message.type === 'welcome') this.#begin(message.session);
    else if (message.type === 'evaluate') this.#evaluate(message);
    else if (message.type === 'reveal') this.#reveal(message.lease);
    else if (message.type === 'mine') this.#mine(message);
    else if (message.type === 'chat') this.options.onChat?.(this, message);
    this.#wake();
  }

  #prove(message: Extract<ToWorker, { type: 'challenge' }>): void {
    const {
      key,
      token,
      roles = ['evaluate', 'mine', 'chat'],
      name = 'fake',
      owner,
      capabilities,
    } = this.options;
    this.network = fromHex(message.network, 32);
    this.send({
      type: 'hello',
      protocol: message.protocol,
      publicKey: toHex(key.publicKey),
      token,
      name,
      software: 'test',
      roles: [...roles],
      backend: 'none',
      threads: 1,
      ...(owner && { owner: proveOwner(this.network, key.publicKey, owner) }),
      ...(capabilities && { capabilities }),
    });
    const proven = concatBytes(fromHex(message.challenge, 32), key.publicKey);
    const signature = sign(digest('challenge', this.network, proven), key.secretKey);
    this.send({ type: 'proof', signature: toHex(signature) });
  }

  #begin(bearer: string): void {
    this.bearer = bearer;
    clearInterval(this.#heartbeat);
    const { roles = ['evaluate', 'mine', 'chat'] } = this.options;
    this.#heartbeat = setInterval(
      () => this.send({ type: 'heartbeat', hashesPerSecond: 0, tokensPerSecond: 0, rssBytes: 0 }),
      HEARTBEAT_MS / 2,
    );
    if (roles.includes('evaluate')) this.send({ type: 'ready', role: 'evaluate' });
    if (roles.includes('mine')) this.send({ type: 'ready', role: 'mine' });
  }

  #evaluate(lease: EvaluateLease): void {
    if (this.options.onEvaluate) return this.options.onEvaluate(this, lease);
    this.evaluated(lease);
    this.send({ type: 'ready', role: 'evaluate' });
  }

  #reveal(lease: string): void {
    if (this.options.onReveal) this.options.onReveal(this, lease);
    else this.reveal(lease);
  }

  /** Shows what it committed to. */
  reveal(lease: string): void {
    const result = this.#kept.get(lease);
    if (result) this.send(result);
  }

  #mine(lease: MineLease): void {
    if (this.options.onMine) return this.options.onMine(this, lease);
    this.mine(lease);
    this.send({ type: 'ready', role: 'mine' });
  }

  #event(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
