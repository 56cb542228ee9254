import { freemem, loadavg } from 'node:os';
import type { AccountView } from '#shared/api/account-schemas.ts';
import type { Capabilities } from '#shared/protocol/capabilities.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import { type GpuState, readGpus } from '#worker/devices.ts';
import type { WorkerStatus } from '#worker/status/status.ts';
import type { Tally } from '#worker/status/tally.ts';

/** The driver's tool takes a tenth of a second of a core. */
const GPU_CACHE_MS = 2_000;
const ACCOUNT_CACHE_MS = 10_000;
const ACCOUNT_TIMEOUT_MS = 3_000;

export interface ReporterOptions {
  readonly name: string;
  readonly software: string;
  readonly roles: readonly string[];
  readonly coordinators: readonly string[];
  /** The worker's own. */
  readonly address: string;
  readonly capabilities: Capabilities;
}

export interface ReporterDependencies {
  readonly tally: Tally;
  readonly now: () => number;
  load(): { readonly hashesPerSecond: number; readonly tokensPerSecond: number; readonly rssBytes: number };
  unfinished(): number;
}

/** Puts together what a worker tells its owner. */
export class StatusReporter {
  readonly #options: ReporterOptions;
  readonly #deps: ReporterDependencies;
  readonly #startedAt: number;
  readonly #gpus: Kept<GpuState[]>;
  readonly #account: Kept<AccountView | undefined>;

  constructor(options: ReporterOptions, deps: ReporterDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#startedAt = deps.now();
    this.#gpus = new Kept(readGpus, GPU_CACHE_MS);
    this.#account = new Kept(() => this.#askAccount(), ACCOUNT_CACHE_MS);
  }

  async status(): Promise<WorkerStatus> {
    const { name, software, roles, coordinators, address } = this.#options;
    const { tally, load, unfinished } = this.#deps;
    const [gpus, account] = await Promise.all([this.#gpus.get(), this.#account.get()]);
    const { hashesPerSecond, tokensPerSecond, rssBytes } = load();
    return {
      name,
      software,
      address,
      owner: this.#owner,
      roles: [...roles],
      started_at: this.#startedAt,
      coordinators: [...coordinators],
      connected: tally.session !== undefined,
      connected_since: tally.since,
      standing: tally.standing,
      ...this.#machine(gpus),
      hashes_per_second: hashesPerSecond,
      tokens_per_second: tokensPerSecond,
      rss_bytes: rssBytes,
      unfinished: unfinished(),
      done: doneOf(tally),
      balance: account?.balance ?? null,
      vesting: account?.vesting ?? null,
      last_trouble: tally.trouble ?? null,
    };
  }

  get #owner(): string {
    return this.#deps.tally.session?.owner ?? this.#options.address;
  }

  #machine(gpus: readonly GpuState[]): Pick<WorkerStatus, 'machine' | 'backends' | 'gpus'> {
    const { cores, memoryBytes, backends } = this.#options.capabilities;
    return {
      machine: {
        cores,
        load: loadavg()[0] ?? 0,
        memory_bytes: memoryBytes,
        memory_free_bytes: freemem(),
      },
      backends: backends.map(({ name, device = '', gflops = 0, memoryBytes: bytes = null }) => ({
        name,
        device,
        gflops,
        memory_bytes: bytes,
      })),
      gpus: gpus.map(({ id, name, utilisation, celsius, watts, memoryUsedBytes, memoryBytes: bytes }) => ({
        id,
        name,
        utilisation: utilisation ?? null,
        celsius: celsius ?? null,
        watts: watts ?? null,
        memory_used_bytes: memoryUsedBytes ?? null,
        memory_bytes: bytes ?? null,
      })),
    };
  }

  /** Of the first coordinator that answers. */
  async #askAccount(): Promise<AccountView | undefined> {
    for (const coordinator of this.#options.coordinators) {
      const signal = AbortSignal.timeout(ACCOUNT_TIMEOUT_MS);
      const account = await new ApiClient(coordinator).account(this.#owner, signal).catch(() => undefined);
      if (account) return account;
    }
    return undefined;
  }
}

function doneOf(tally: Tally): WorkerStatus['done'] {
  return {
    evaluations: tally.sent('committed'),
    failed_evaluations: tally.sent('failed'),
    ranges: tally.sent('range'),
    shares: tally.sent('share'),
    credited: tally.received('credited'),
    answers: tally.sent('chat-done'),
  };
}

/** An answer that stays good for a while; who asks meanwhile gets the same. */
class Kept<T> {
  readonly #ask: () => Promise<T>;
  readonly #keepMs: number;
  #answer: Promise<T> | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(ask: () => Promise<T>, keepMs: number) {
    this.#ask = ask;
    this.#keepMs = keepMs;
  }

  get(): Promise<T> {
    const now = performance.now();
    if (!this.#answer || now - this.#askedAt > this.#keepMs) {
      this.#askedAt = now;
      this.#answer = this.#ask();
    }
    return this.#answer;
  }
}
