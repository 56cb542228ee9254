import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createMetrics } from '#coordinator/metrics/metrics.ts';
import { headOf, LAST_BIAS, newKey, signedFile, submitGood, train } from '#test/helpers/candidate.ts';
import { dashboardPanels } from '#test/helpers/grafana.ts';
import { metricSources } from '#test/helpers/metric-sources.ts';
import { type Pool, startPool } from '#test/helpers/pool.ts';
import { startPrometheus } from '#test/helpers/prometheus.ts';
import { skipWithout } from '#test/helpers/tools.ts';

/** All that happened since the start. */
const RATE_INTERVAL = '15m';

const STEPS = 10;

/** One submission that is accepted, one that makes the model worse, and one chat. */
async function keepBusy(pool: Pool): Promise<void> {
  const head = await headOf(pool.url);
  const worse = Float32Array.from(head.tensors.get(LAST_BIAS) as Float32Array, (_, i) =>
    i % 2 === 0 ? 9 : -9,
  );
  for (const [changed, state] of [
    [new Map([[LAST_BIAS, worse]]), 'rejected'],
    [await train(head, STEPS), 'paid'],
  ] as const) {
    const { id, bytes } = await signedFile(head, changed, newKey());
    await submitGood(pool.url, bytes);
    const settled = await pool.settled(id);
    assert.equal(settled.state, state, JSON.stringify(settled.error));
  }
  const response = await fetch(new URL('/chat', pool.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Call me', max_tokens: 4 }),
  });
  assert.equal(response.status, 200);
  await pool.measured();
}

const SKIP = skipWithout('prometheus') || skipWithout('redis-server');

it('monitoring of a running pool', { skip: SKIP }, async (t) => {
  const pool = await startPool();
  const prometheus = await startPrometheus(new URL(pool.url).host);
  await keepBusy(pool);
  await prometheus.until('aiblock_chat_requests_total > 0 and on () aiblock_validation_loss_nats > 0');

  await t.test('exposes every metric that is defined, and no other of ours', async () => {
    const scraped = await (await fetch(new URL('/metrics', pool.url))).text();
    const families = [...scraped.matchAll(/^# TYPE (aiblock_\S+)/gm)].map((match) => match[1]);
    const defined = createMetrics(metricSources(), { version: '0' }).describe();
    const ours = defined.map(({ name }) => name).filter((name) => name.startsWith('aiblock_'));
    assert.deepEqual(families.sort(), ours.sort());
  });

  await t.test('shows a finite figure for every query of every panel', async () => {
    for (const { title, targets } of await dashboardPanels()) {
      for (const { expr } of targets ?? []) {
        const found = await prometheus.query(expr.replaceAll('$__rate_interval', RATE_INTERVAL));
        const finite = found.filter(({ value }) => Number.isFinite(Number(value[1])));
        assert.ok(finite.length > 0, `${title}: no finite value for ${expr}`);
      }
    }
  });

  await t.test('counts what happened', async () => {
    for (const [expr, expected] of [
      ['aiblock_submissions_total{state="received"}', 2],
      ['aiblock_submissions_total{state="paid"}', 1],
      ['aiblock_submission_rejections_total{code="GATE_NOT_BETTER"}', 1],
      ['aiblock_commit_seconds_count', 1],
      ['aiblock_commit_overhead_seconds_count > bool 1', 1],
      ['sum(aiblock_paid_units_total{kind=~"reward-.+"}) == bool on () aiblock_minted_units', 1],
      ['aiblock_chat_tokens_total > bool 0', 1],
      ['aiblock_ledger_balanced', 1],
      ['aiblock_redis_up', 1],
    ] as const) {
      const [series] = await prometheus.query(expr);
      assert.equal(Number(series?.value[1]), expected, expr);
    }
  });

  await t.test('evaluates every alert, and none fires', async () => {
    for (const { name, health, lastError, state } of await prometheus.rules()) {
      assert.equal(health, 'ok', `${name}: ${lastError}`);
      assert.notEqual(state, 'firing', name);
    }
  });
});
