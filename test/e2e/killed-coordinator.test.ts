import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SubmissionState } from '#shared/lifecycle.ts';
import { seededUniform } from '#shared/weights/random.ts';
import {
  frequencyBiases,
  headOf,
  LAST_BIAS,
  newKey,
  type SignedBytes,
  signedPart,
  submitFile,
  touched,
} from '#test/helpers/candidate.ts';
import { aiblock } from '#test/helpers/child.ts';
import { entriesOf, readJournal, rewardsDue, sumOf } from '#test/helpers/journal.ts';
import { type Pool, startPool } from '#test/helpers/pool.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import type { Head } from '#worker/train/miner-head.ts';

/** After which move of a submission the coordinator is killed, and within how many milliseconds of it. */
const KILLS: readonly [SubmissionState, number][] = [
  ['received', 5],
  ['queued', 5],
  ['evaluating', 300],
  ['evaluated', 5],
  ['mining', 5],
  ['mining', 1_500],
  ['mined', 0],
  ['mined', 10],
  ['mined', 40],
  ['committed', 0],
];
/** Kills of a coordinator that is just starting, so many milliseconds after its start. */
const KILLS_AT_START = [400, 1_200];
const SEED = 20_260_101;
/** So many blocks per submission: mining takes long enough to be met in its midst. */
const COMPANIONS = 5;
const MOST_SUBMISSIONS = KILLS.length;

/** Submissions one after the other, each better than the one before. */
async function prepare(head: Head): Promise<SignedBytes[]> {
  const names = head.refs
    .map(({ name }) => name)
    .filter((name) => name.endsWith('ln_1.bias') || name.endsWith('attn.c_proj.bias'));
  const biases = frequencyBiases(head, MOST_SUBMISSIONS + 4).slice(0, MOST_SUBMISSIONS);
  const key = newKey();
  return Promise.all(
    biases.map((bias, i) => {
      const companions = touched(head, names.slice(0, COMPANIONS), 1e-6 * (i + 1));
      return signedPart(head, new Map([[LAST_BIAS, bias], ...companions]), key);
    }),
  );
}

async function killAndRestart(pool: Pool, atStart: number | undefined): Promise<void> {
  await pool.kill9('coordinator');
  if (atStart !== undefined) {
    const starting = pool.startCoordinator().catch(() => {});
    await sleep(atStart);
    await pool.kill9('coordinator');
    await starting;
  }
  await pool.restart('coordinator');
}

/** A pool whose submissions come one after the other. */
class Miner {
  /** All that the pool ever got to see, whether it lived to answer or not. */
  readonly sent: SignedBytes[] = [];
  readonly #pool: Pool;
  readonly #files: readonly SignedBytes[];

  constructor(pool: Pool, files: readonly SignedBytes[]) {
    this.#pool = pool;
    this.#files = files;
  }

  /** Resolves when the log tells of this state; a submission that is past it already makes room for the next one. */
  async until(state: SubmissionState): Promise<void> {
    const { coordinator } = this.#pool;
    for (let from = 0; ; ) {
      if (!(await this.#isOpen())) this.#send();
      const seen = await coordinator.line(
        (line) => {
          from += 1;
          return /"state":"(\w+)"/.exec(line)?.[1]?.match(`^(${state}|paid)$`)?.[0];
        },
        { from },
      );
      if (seen === state) return;
    }
  }

  /** Whoever got no answer asks again, and is told of the same submission. */
  async repeat(): Promise<void> {
    const { bytes } = this.sent.at(-1) as SignedBytes;
    const { status, body } = await submitFile(this.#pool.url, bytes);
    assert.ok(status === 202 || status === 200, `${status} ${JSON.stringify(body)}`);
  }

  async #isOpen(): Promise<boolean> {
    const last = this.sent.at(-1);
    if (!last) return false;
    const { state } = await this.#pool.api.submission(last.id);
    assert.notEqual(state, 'rejected');
    return state !== 'paid';
  }

  #send(): void {
    const file = this.#files[this.sent.length];
    assert.ok(file, 'one submission per kill is enough');
    this.sent.push(file);
    submitFile(this.#pool.url, file.bytes).then(
      ({ status, body }) => assert.equal(status, 202, JSON.stringify(body)),
      () => 'the kill may come before the answer',
    );
  }
}

it('loses nothing and pays nothing twice, whenever it is killed', {
  skip: skipWithout('redis-server'),
}, async () => {
  const pool = await startPool({ smallGains: true });
  const head = await headOf(pool.url);
  const miner = new Miner(pool, await prepare(head));
  const random = seededUniform(SEED);

  for (const [round, [state, withinMs]] of KILLS.entries()) {
    await miner.until(state);
    await sleep(random() * withinMs);
    await killAndRestart(pool, KILLS_AT_START[round % 5]);
    await miner.repeat();
  }

  for (const { id } of miner.sent) {
    const view = await pool.settled(id);
    assert.equal(view.state, 'paid', JSON.stringify(view));
  }
  const { entries, minted } = await readJournal(pool);
  const due = await rewardsDue(pool, head.meta.manifest.reward);
  for (const { id } of miner.sent) assert.equal(sumOf(entriesOf(entries, id)), due.get(id));
  assert.equal(due.size, miner.sent.length);
  assert.equal(
    minted,
    [...due.values()].reduce((sum, units) => sum + units, 0n),
  );
  const model = await pool.api.model();
  assert.equal(model.head.index, head.view.head.index + miner.sent.length * (COMPANIONS + 1));
  const verified = await aiblock(['verify', '--coordinator', pool.url]);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
});
