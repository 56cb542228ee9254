import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MetricSources } from '#coordinator/metrics/gauges.ts';
import { createMetrics, type Metrics } from '#coordinator/metrics/metrics.ts';
import { metricSources } from '#test/helpers/metric-sources.ts';

const create = (replaced: Partial<MetricSources> = {}) =>
  createMetrics(metricSources(replaced), { version: '1.2.3' });

async function samples(metrics: Metrics): Promise<Map<string, number>> {
  const { body } = await metrics.scrape();
  const lines = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.replace(/ [^ ]*$/, ''), Number(line.replace(/^.* /, ''))]));
}

describe('metrics', () => {
  it('reads every source when it is scraped', async () => {
    const read = await samples(create());
    const expected = {
      'aiblock_build_info{version="1.2.3"}': 1,
      'aiblock_chain_height{chain="A"}': 0,
      'aiblock_chain_height{chain="B"}': 12,
      aiblock_head_timestamp_seconds: 1_700_000_000.5,
      aiblock_validation_loss_nats: 3.25,
      'aiblock_submissions_in_progress{state="queued"}': 2,
      'aiblock_submissions_in_progress{state="mining"}': 0,
      'aiblock_workers_connected{role="evaluate"}': 1,
      'aiblock_workers_connected{role="mine"}': 2,
      'aiblock_worker_hashes_per_second{worker="ben"}': 500,
      'aiblock_evaluation_tokens_per_second{worker="anna"}': 50,
      aiblock_held_out_shards_left: 5,
      aiblock_held_out_checks_due: 2,
      aiblock_minted_units: 123_456_789,
      aiblock_ledger_balanced: 1,
      aiblock_redis_up: 1,
      'aiblock_queue_jobs{queue="evaluation",state="failed"}': 3,
      'aiblock_queue_oldest_job_age_seconds{queue="evaluation"}': 1.5,
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(read.get(name), value, name);
  });

  it('follows the sources from scrape to scrape', async () => {
    let loss: number | null = null;
    let workers: ReturnType<MetricSources['workers']> = [];
    const metrics = create({ validationLossNats: () => loss, workers: () => workers });
    const before = await samples(metrics);
    assert.equal(before.has('aiblock_validation_loss_nats'), false);
    assert.equal(before.get('aiblock_workers_connected{role="chat"}'), 0);
    loss = 2.5;
    workers = [{ name: 'w', roles: ['chat'], hashesPerSecond: 7, tokensPerSecond: 0 }];
    const during = await samples(metrics);
    assert.equal(during.get('aiblock_validation_loss_nats'), 2.5);
    assert.equal(during.get('aiblock_worker_hashes_per_second{worker="w"}'), 7);
    workers = [];
    const after = await samples(metrics);
    assert.equal(after.get('aiblock_workers_connected{role="chat"}'), 0);
    assert.equal(after.has('aiblock_worker_hashes_per_second{worker="w"}'), false);
  });

  it('adds up workers of one name and escapes what they call themselves', async () => {
    const name = 'a"b\\c\nd';
    const worker = { name, roles: ['mine'] as const, hashesPerSecond: 2, tokensPerSecond: 0 };
    const read = await samples(create({ workers: () => [worker, worker] }));
    assert.equal(read.get('aiblock_worker_hashes_per_second{worker="a\\"b\\\\c\\nd"}'), 4);
  });

  it('shows Redis as down, without old counts, when the queue fails or stays silent', async () => {
    const answers: MetricSources['queues'][] = [
      () => Promise.reject(new Error('connection lost')),
      () => new Promise(() => {}),
    ];
    for (const failing of answers) {
      let queues = metricSources().queues;
      const metrics = create({ queues: () => queues() });
      assert.equal((await samples(metrics)).get('aiblock_redis_up'), 1);
      queues = failing;
      const read = await samples(metrics);
      assert.equal(read.get('aiblock_redis_up'), 0);
      assert.equal(read.has('aiblock_queue_jobs{queue="evaluation",state="failed"}'), false);
      assert.equal(read.get('aiblock_chain_height{chain="B"}'), 12);
    }
  });

  it('counts moves and rejections, and starts known labels at zero', async () => {
    const metrics = create();
    const before = await samples(metrics);
    assert.equal(before.get('aiblock_submissions_total{state="committed"}'), 0);
    assert.equal(before.get('aiblock_submission_rejections_total{code="GATE_NOT_BETTER"}'), 0);
    assert.equal(before.get('aiblock_paid_units_total{kind="reward-submitter"}'), 0);
    metrics.submissionMoved('received');
    metrics.submissionMoved('rejected', 'GATE_NOT_BETTER');
    metrics.paid('reward-submitter', 5_000n);
    const after = await samples(metrics);
    assert.equal(after.get('aiblock_submissions_total{state="received"}'), 1);
    assert.equal(after.get('aiblock_submissions_total{state="rejected"}'), 1);
    assert.equal(after.get('aiblock_submission_rejections_total{code="GATE_NOT_BETTER"}'), 1);
    assert.equal(after.get('aiblock_paid_units_total{kind="reward-submitter"}'), 5_000);
  });

  it('divides the overhead of a commit among its tensor blocks', async () => {
    const metrics = create();
    metrics.committed({ blocks: 4, commitMs: 60, overheadMs: 100 });
    const read = await samples(metrics);
    assert.equal(read.get('aiblock_commit_overhead_seconds_count'), 4);
    assert.equal(read.get('aiblock_commit_overhead_seconds_bucket{le="0.05"}'), 4);
    assert.equal(read.get('aiblock_commit_overhead_seconds_bucket{le="0.02"}'), 0);
    assert.equal(read.get('aiblock_commit_seconds_sum'), 0.06);
  });

  it('counts evaluations, chats and requests in seconds', async () => {
    const metrics = create();
    metrics.evaluated(2_000);
    metrics.chatAnswered({ outcome: 'length', tokens: 32, firstTokenMs: 40 });
    metrics.chatAnswered({ outcome: 'error', tokens: 0, firstTokenMs: null });
    metrics.httpServed({ route: '/submissions/:id', status: 404, ms: 3 });
    const read = await samples(metrics);
    assert.equal(read.get('aiblock_evaluation_seconds_sum'), 2);
    assert.equal(read.get('aiblock_chat_requests_total{outcome="length"}'), 1);
    assert.equal(read.get('aiblock_chat_tokens_total'), 32);
    assert.equal(read.get('aiblock_chat_first_token_seconds_count'), 1);
    assert.equal(read.get('aiblock_http_requests_total{route="/submissions/:id",status="404"}'), 1);
    assert.equal(read.get('aiblock_http_request_seconds_sum{route="/submissions/:id"}'), 0.003);
  });

  it('keeps two pools of one process apart', async () => {
    const [one, other] = [create(), create()];
    one.submissionMoved('received');
    assert.equal((await samples(other)).get('aiblock_submissions_total{state="received"}'), 0);
  });

  it('names units, and describes every family', () => {
    const own = create()
      .describe()
      .filter(({ name }) => !/^(process|nodejs)_/.test(name));
    assert.ok(own.length >= 24);
    for (const { name, help } of own) {
      assert.match(name, /^aiblock_[a-z_]+$/);
      assert.ok(help.length > 10, name);
    }
  });
});
