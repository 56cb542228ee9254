import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Overview, overviewSchema } from '#shared/api/schemas.ts';
import { ChildHandle } from '#test/helpers/child.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import type { MinerEvent } from '#worker/train/miner-events.ts';

/** What a miner did, from its own account. */
export interface MinerAccount {
  /** Tokens that it trained on. */
  trainedTokens: number;
  accepted: number;
  rejected: number;
  /** Milliseconds from the first line of the pool to the first accepted submission. */
  firstAcceptedMs: number | undefined;
  /** Mean loss of the head on the newest sample of public windows that it took, nats. */
  sampledNats: number | undefined;
  merged: number;
  restarted: number;
}

/** `aiblock up` as a user starts it, with a fresh chain, and further miners beside it. */
export class LivePool {
  readonly #folder: string;
  readonly #children: ChildHandle[] = [];
  #startedMs = 0;
  #api!: ApiClient;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(args: readonly string[] = []): Promise<LivePool> {
    const pool = new LivePool(await mkdtemp(join(tmpdir(), 'aiblock-bench-')));
    const data = ['--data-dir', pool.#folder, '--port', '0'];
    const up = ChildHandle.aiblock('up', ['up', ...data, '--json', ...args]);
    pool.#children.push(up);
    const line = await up.line((text) => text.includes('"type":"ready"') && text);
    pool.#startedMs = performance.now();
    pool.#api = new ApiClient((JSON.parse(line) as { url: string }).url);
    return pool;
  }

  /** A miner with a key of its own. */
  mine(name: string, args: readonly string[]): ChildHandle {
    const miner = ChildHandle.aiblock(name, [
      'miner',
      ...['--coordinator', this.#api.coordinator, '--data-dir', join(this.#folder, name), '--json'],
      ...args,
    ]);
    this.#children.push(miner);
    return miner;
  }

  /** Lets it work; lines of all miners are accounted for in the end. */
  run(ms: number): Promise<void> {
    return sleep(ms);
  }

  overview(): Promise<Overview> {
    return this.#api.json('overview', overviewSchema);
  }

  /** Tokens that workers put through the model, by purpose. */
  async evaluationTokens(): Promise<Map<string, number>> {
    const text = await (await fetch(new URL('/metrics', this.#api.coordinator))).text();
    const lines = text.matchAll(/^aiblock_evaluation_tokens_total\{purpose="([a-z-]+)"\} (\d+)/gm);
    return new Map([...lines].map(([, purpose, tokens]) => [purpose as string, Number(tokens)]));
  }

  /** What the miners said so far, together. */
  account(): MinerAccount {
    const account: MinerAccount = {
      trainedTokens: 0,
      accepted: 0,
      rejected: 0,
      firstAcceptedMs: undefined,
      sampledNats: undefined,
      merged: 0,
      restarted: 0,
    };
    for (const [i, child] of this.#children.entries()) {
      let steps = 0;
      for (const line of child.stdout) {
        const event = parse(line, i === 0);
        // Not every step is told, but each tells how many there were.
        if (event?.type === 'step') {
          account.trainedTokens += (event.step - steps) * event.tokens;
          steps = event.step;
        } else if (event) this.#count(account, event);
      }
    }
    return account;
  }

  async stop(): Promise<void> {
    for (const child of this.#children.splice(0).reverse()) await child.stop();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  #count(account: MinerAccount, event: MinerEvent & { at: number }): void {
    if (event.type === 'rejected') account.rejected += 1;
    if (event.type === 'estimate') account.sampledNats = event.headNats;
    if (event.type === 'head' && event.continued !== 'ours') account[event.continued] += 1;
    if (event.type !== 'accepted') return;
    account.accepted += 1;
    const sinceStart = event.at - (performance.timeOrigin + this.#startedMs);
    account.firstAcceptedMs = Math.min(account.firstAcceptedMs ?? sinceStart, sinceStart);
  }
}

/** `aiblock up` tells of its pool on the same lines. */
function parse(line: string, isUp: boolean): (MinerEvent & { at: number }) | undefined {
  const event = JSON.parse(line) as MinerEvent & { at: number; source?: string };
  return isUp && event.source !== 'miner' ? undefined : event;
}
