import assert from 'node:assert/strict';
import { after, afterEach, describe, it } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import type { SubmissionView } from '#shared/api/schemas.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';
import { better, type FakeWorkerOptions } from '#test/helpers/fake-worker.ts';
import { fileOf, post, SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';
import { submissionReporter } from '#worker/cli/submission-report.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import { follow, type SubmitEvent } from '#worker/submit/submit.ts';

describe('a submission that nobody can judge says why', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  const started: TestCoordinator[] = [];
  const start = async (attestations: number) => {
    pool = await TestCoordinator.start({}, undefined, { quorum: { attestations } });
    started.push(pool);
  };
  afterEach(() => pool.stop());
  after(async () => {
    for (const each of started) await each.destroy();
  });
  const attach = (options: Partial<FakeWorkerOptions> = {}) =>
    pool.attach({ losses: better(100_000), ...options });
  const submit = async (key: KeyPair = newKeyPair()): Promise<SubmissionView> => {
    const file = fileOf(await pool.model(), { key, tensors: { [SMALL_TENSOR]: 0.25 } });
    const { status, body } = await post(pool.url, file);
    assert.equal(status, 202);
    return body as SubmissionView;
  };
  const says = (id: string, message: RegExp) =>
    until(`it waits: ${message}`, async () => {
      const view = await pool.submission(id);
      return message.test(view.waiting?.message ?? '') && view;
    });

  it("own-workers: the only worker is its submitter's; he is told, once per change, until another comes", async () => {
    await start(1);
    const submitter = newKeyPair();
    const own = await attach({ owner: submitter });
    const first = await submit(submitter);
    const { state, waiting } = await says(first.id, /none is attached/);
    assert.deepEqual([state, waiting?.reason], ['queued', 'own-workers']);
    assert.match(waiting?.message ?? '', /^needs 1 worker .*\(not counted: 1 is its submitter's own\)$/);
    const [listed] = ((await pool.get('/submissions')).body as { submissions: SubmissionView[] }).submissions;
    assert.ok(listed && !('waiting' in listed));
    const events: SubmitEvent[] = [];
    const told = () => events.flatMap((event) => (event.type === 'waiting' ? [event.reason] : []));
    let printed = '';
    const out = (text: string) => {
      printed += text;
    };
    const reporter = submissionReporter({ out, err: out, terminal: false, now: Date.now }, false);
    const report = (event: SubmitEvent) => {
      events.push(event);
      reporter.report(event);
    };
    const end = follow(first, { api: new ApiClient(pool.url), report }, AbortSignal.timeout(60_000));
    await until('it was told', () => told().length > 0);
    await own.close();
    await until('the change was told', () => told().length > 1);
    await attach();
    assert.equal((await end).state, 'paid');
    assert.deepEqual(told(), ['own-workers', 'no-workers']);
    assert.match(
      printed,
      /^queued\nwaiting: needs 1 worker whose owner [^\n]*\nwaiting: needs 1 [^\n]*attached\n/m,
    );
    assert.equal((await pool.submission(first.id)).waiting, null);
  });

  it('too-few-workers: two must agree, and one is attached', async () => {
    await start(2);
    const { id } = await submit();
    assert.equal((await says(id, /none is attached$/)).waiting?.reason, 'no-workers');
    const first = await attach();
    await first.next('evaluate', ({ submission }) => submission === id);
    const { state, waiting } = await says(id, /1 is on it, and no other is attached$/);
    assert.deepEqual([state, waiting?.reason], ['evaluating', 'too-few-workers']);
    await attach();
    assert.equal((await pool.reaches(id, 'paid', 'rejected')).state, 'paid');
  });

  it('too-little-memory: a machine that cannot hold a tensor', async () => {
    await start(1);
    const backends = [{ name: 'wasm' }];
    await attach({ capabilities: { backends, hashesPerSecond: 0, memoryBytes: 1_000, cores: 1 } });
    const { id } = await submit();
    assert.equal((await says(id, /1 has too little memory/)).waiting?.reason, 'too-little-memory');
  });
});
