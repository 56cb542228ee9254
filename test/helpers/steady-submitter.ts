import assert from 'node:assert/strict';
import type { SubmissionState } from '#shared/lifecycle.ts';
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
import type { Pool } from '#test/helpers/pool.ts';
import type { Head } from '#worker/train/miner-head.ts';

/** So many blocks per submission: mining takes long enough to be met in its midst. */
const COMPANIONS = 5;

/** Submissions one after the other, each better than the one before. */
async function prepare(head: Head, count: number): Promise<SignedBytes[]> {
  const names = head.refs
    .map(({ name }) => name)
    .filter((name) => name.endsWith('ln_1.bias') || name.endsWith('attn.c_proj.bias'));
  const biases = frequencyBiases(head, count + 4).slice(0, count);
  const key = newKey();
  return Promise.all(
    biases.map((bias, i) => {
      const companions = touched(head, names.slice(0, COMPANIONS), 1e-6 * (i + 1));
      return signedPart(head, new Map([[LAST_BIAS, bias], ...companions]), key);
    }),
  );
}

/** Sends a pool submissions one after the other, while the coordinator goes and comes back. */
export class SteadySubmitter {
  /** All that the pool ever got to see, whether it lived to answer or not. */
  readonly sent: SignedBytes[] = [];
  readonly #pool: Pool;
  readonly #files: readonly SignedBytes[];
  readonly #head: Head;

  private constructor(pool: Pool, head: Head, files: readonly SignedBytes[]) {
    this.#pool = pool;
    this.#head = head;
    this.#files = files;
  }

  /** With `count` submissions at most. */
  static async of(pool: Pool, count: number): Promise<SteadySubmitter> {
    const head = await headOf(pool.url);
    return new SteadySubmitter(pool, head, await prepare(head, count));
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

  /** Each was paid once, what was due, and the chains hold. */
  async allPaidOnce(): Promise<void> {
    for (const { id } of this.sent) {
      const view = await this.#pool.settled(id);
      assert.equal(view.state, 'paid', JSON.stringify(view));
    }
    const { entries, minted } = await readJournal(this.#pool);
    const due = await rewardsDue(this.#pool, this.#head.meta.manifest.reward);
    for (const { id } of this.sent) assert.equal(sumOf(entriesOf(entries, id)), due.get(id));
    assert.equal(due.size, this.sent.length);
    assert.equal(
      minted,
      [...due.values()].reduce((sum, units) => sum + units, 0n),
    );
    const model = await this.#pool.api.model();
    assert.equal(model.head.index, this.#head.view.head.index + this.sent.length * (COMPANIONS + 1));
    const verified = await aiblock(['verify', '--coordinator', this.#pool.url]);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  }
}
