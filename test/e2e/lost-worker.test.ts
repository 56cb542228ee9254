import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { blockSchema, type FeedEvent } from '#shared/api/schemas.ts';
import type { SubmissionState } from '#shared/lifecycle.ts';
import {
  frequencyBiases,
  headOf,
  LAST_BIAS,
  newKey,
  signedPart,
  submitGood,
} from '#test/helpers/candidate.ts';
import { aiblock } from '#test/helpers/child.ts';
import type { FeedLog } from '#test/helpers/feed-log.ts';
import { entriesOf, readJournal, rewardsDue, sumOf } from '#test/helpers/journal.ts';
import { type Pool, startPool } from '#test/helpers/pool.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';
import type { Head } from '#worker/train/miner-head.ts';

interface Attestation {
  readonly worker: string;
}

describe('a worker that is lost in an evaluation', { skip: skipWithout('redis-server') }, () => {
  let pool: Pool;
  let feed: FeedLog;
  let head: Head;
  let biases: Float32Array[];

  before(async () => {
    pool = await startPool({ worker: false });
    head = await headOf(pool.url);
    biases = frequencyBiases(head, 3);
    feed = await pool.feed();
    await pool.startWorker('first', ['--roles', 'evaluate,mine']);
    await pool.measured();
  });

  const submit = async (step: number) => {
    const file = await signedPart(head, new Map([[LAST_BIAS, biases[step] as Float32Array]]), newKey());
    const is = (state: SubmissionState) => (event: FeedEvent) =>
      event.type === 'submission' && event.submission.id === file.id && event.submission.state === state;
    await submitGood(pool.url, file.bytes);
    await feed.next('it is evaluated', is('evaluating'));
    return file.id;
  };

  /** Paid once, for one evaluation, made by this worker. */
  async function finishedBy(name: string, id: string): Promise<void> {
    const view = await pool.settled(id);
    assert.equal(view.state, 'paid', JSON.stringify(view.error));
    const states = view.history.map(({ state }) => state);
    assert.deepEqual(states, [
      ...['received', 'queued', 'evaluating', 'queued', 'evaluating'],
      ...['evaluated', 'mining', 'mined', 'committed', 'paid'],
    ]);
    const block = await pool.api.json(`chain/B/block/${view.blocks?.last}`, blockSchema);
    const { certificate } = (block.body as { seal: { certificate: { attestations: Attestation[] } } }).seal;
    assert.equal(certificate.attestations.length, 1);
    const worker = (await pool.overview()).workers.find((one) => one.name === name);
    const { entries } = await readJournal(pool);
    const own = entriesOf(entries, id);
    const due = await rewardsDue(pool, head.meta.manifest.reward);
    assert.equal(sumOf(own), due.get(id));
    assert.equal(own.filter(({ kind }) => kind === 'reward-submitter').length, 1);
    assert.ok(worker);
  }

  it('killed: another one finishes it, with one reward', async () => {
    const id = await submit(0);
    await pool.kill9('first');
    await until(
      'the submission is queued again',
      async () => (await pool.api.submission(id)).state === 'queued',
    );
    await pool.startWorker('second', ['--roles', 'evaluate,mine']);
    await finishedBy('second', id);
  });

  it('frozen past its lease: its late result counts for nothing', async () => {
    await pool.measured();
    const id = await submit(1);
    pool.child('second').kill('SIGSTOP');
    await until(
      'the submission is queued again',
      async () => (await pool.api.submission(id)).state === 'queued',
    );
    await pool.startWorker('third', ['--roles', 'evaluate,mine']);
    await finishedBy('third', id);
    const paid = await pool.api.submission(id);
    pool.child('second').kill('SIGCONT');
    await pool.connected('second');
    assert.deepEqual(await pool.api.submission(id), paid);

    // And it works on as if nothing had been.
    await pool.kill9('third');
    const next = await submit(2);
    assert.equal((await pool.settled(next)).state, 'paid');
  });

  it('leaves chains and journal whole', async () => {
    const { code, stdout, stderr } = await aiblock(['verify', '--coordinator', pool.url]);
    assert.equal(code, 0, stdout + stderr);
  });
});
