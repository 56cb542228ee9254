import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { journalPageSchema, workPageSchema } from '#shared/api/audit-schemas.ts';
import { modelSchema, submissionSchema } from '#shared/api/schemas.ts';
import { decodeEntry } from '#shared/block/journal.ts';
import { decodeUnit } from '#shared/block/work-log.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { bitsFromTarget } from '#shared/pow/target.ts';
import { ChildHandle } from '#test/helpers/child.ts';
import { FakeWorker } from '#test/helpers/fake-worker.ts';
import { freePort } from '#test/helpers/free-port.ts';
import { fileOf, post, SMALL_TENSOR, smallContent } from '#test/helpers/small-genesis.ts';
import { makeChain, TOKEN } from '#test/helpers/test-coordinator.ts';
import { until } from '#test/helpers/until.ts';

const ENTRY = fileURLToPath(new URL('./coordinator.ts', import.meta.url));
/** Nobody solves a block: the search goes on for as long as the benchmark. */
const HARDEST_BITS = bitsFromTarget(1n);
const PAGE = 500;

/** A coordinator in a process of its own, on a chain whose blocks nobody solves, or on one of the usual kind. */
export class BenchPool {
  readonly dir: string;
  readonly url: string;
  readonly #args: readonly string[];
  #child: ChildHandle;
  #value = 0.0625;

  private constructor(dir: string, url: string, args: readonly string[]) {
    this.dir = dir;
    this.url = url;
    this.#args = args;
    this.#child = ChildHandle.script('coordinator', ENTRY, args);
  }

  static async start({ redisUrl, hard = true }: { redisUrl?: string; hard?: boolean } = {}) {
    const dir = await mkdtemp(join(tmpdir(), 'aiblock-gateway-'));
    const dataDir = join(dir, 'data');
    await makeChain(dataDir, smallContent(), hard ? { pow: { bits: HARDEST_BITS } } : {});
    const port = await freePort();
    const redis = redisUrl === undefined ? [] : [redisUrl];
    const pool = new BenchPool(dir, `http://127.0.0.1:${port}`, [dataDir, String(port), ...redis]);
    await pool.listening();
    return pool;
  }

  get log(): string {
    return join(this.dir, 'acknowledged.log');
  }

  async listening(): Promise<void> {
    await this.#child.line((line) => line.startsWith('{"url":'));
  }

  /** Without warning; on the same port again right after. Resolves when it listens. */
  async killAndStart(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#child.ended;
    this.#child = ChildHandle.script('coordinator', ENTRY, this.#args);
    await this.listening();
  }

  attach(): Promise<FakeWorker> {
    return FakeWorker.attach({ url: this.url, key: newKeyPair(), token: TOKEN, roles: ['evaluate'] });
  }

  /** Id of a submission of one tensor, unlike any before. */
  async submit(): Promise<string> {
    const model = modelSchema.parse(await this.json('/model'));
    // No whole number: there are tensors of ones and zeros already.
    this.#value += 0.3145;
    const file = fileOf(model, { key: newKeyPair(), tensors: { [SMALL_TENSOR]: this.#value } });
    const { status } = await post(this.url, file);
    if (status !== 202) throw new Error(`a submission was answered with ${status}`);
    return file.id;
  }

  /** A submission is evaluated, and its block is sought from then on. */
  async beginMining(): Promise<void> {
    const evaluator = await this.attach();
    const id = await this.submit();
    await this.reaches(id, 'mining');
    await evaluator.close();
  }

  async reaches(id: string, ...states: readonly string[]): Promise<string> {
    return until(`the submission is ${states.join(' or ')}`, async () => {
      const { state } = submissionSchema.parse(await this.json(`/submissions/${id}`));
      return states.includes(state) && state;
    });
  }

  async json(path: string): Promise<unknown> {
    return (await fetch(new URL(path, this.url))).json();
  }

  /** Hash of every share in the log, in order. */
  async shareLog(): Promise<string[]> {
    const found: string[] = [];
    for (;;) {
      const page = await this.json(`/work-units/grinding?from=${found.length}&limit=${PAGE}`);
      const { units } = workPageSchema.parse(page);
      if (units.length === 0) return found;
      for (const unit of units) found.push(toHex(decodeUnit(fromHex(unit, unit.length / 2)).ref));
    }
  }

  /** How often the submitter was paid for a submission. */
  async payments(id: string): Promise<number> {
    const { entries } = journalPageSchema.parse(await this.json(`/journal?limit=${PAGE}`));
    const own = entries.map((entry) => decodeEntry(fromHex(entry, entry.length / 2)));
    return own.filter(({ kind, ref }) => kind === 'reward-submitter' && toHex(ref) === id).length;
  }

  async stop(): Promise<void> {
    await this.#child.stop();
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }
}
