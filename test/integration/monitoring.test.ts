import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, it } from 'node:test';
import { createMetrics, type Metrics } from '#coordinator/metrics/metrics.ts';
import { dashboardPanels, PROMETHEUS_CONFIG } from '#test/helpers/grafana.ts';
import { metricSources } from '#test/helpers/metric-sources.ts';
import { startPrometheus } from '#test/helpers/prometheus.ts';
import { repositoryPath } from '#test/helpers/repository.ts';
import { skipWithout } from '#test/helpers/tools.ts';

/** Several scrapes fit into it. */
const RATE_INTERVAL = '4s';

/** One of everything that the pool counts. */
function busyMoment(metrics: Metrics): void {
  metrics.submissionMoved('received');
  metrics.submissionMoved('rejected', 'GATE_NOT_BETTER');
  metrics.submissionMoved('paid');
  metrics.evaluated(1200);
  metrics.evaluationCost({ tokens: 4_096, savedByLooks: 1_024, savedByTrust: 0 });
  metrics.shareAccepted({ credit: 65_536n, ms: 4 });
  metrics.committed({ blocks: 3, commitMs: 20, overheadMs: 90 });
  metrics.paid('reward-submitter', 100_000_000n);
  metrics.chatAnswered({ outcome: 'stop', tokens: 20, firstTokenMs: 30 });
  metrics.httpServed({ route: '/chat', status: 200, ms: 400 });
}

/** Metrics over HTTP, with something happening between any two scrapes. */
async function serveBusyMetrics(): Promise<string> {
  const metrics = createMetrics(
    metricSources({
      headTimestampMs: () => Date.now() - 5_000,
      heldOut: () => ({ shardsLeft: 5, checksDue: 0 }),
      attendance: () => [{ name: 'anna', address: '0x01', connected: true, lastSeenMs: Date.now() }],
    }),
    { version: '0.0.0' },
  );
  const server = createServer((_request, response) => {
    metrics.scrape().then(
      ({ contentType, body }) => response.setHeader('content-type', contentType).end(body),
      (error) => response.destroy(error),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const timer = setInterval(() => busyMoment(metrics), 100);
  after(() => {
    clearInterval(timer);
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it('monitoring of a busy pool', { skip: skipWithout('prometheus') }, async (t) => {
  const prometheus = await startPrometheus(await serveBusyMetrics());
  await prometheus.until(`sum(rate(aiblock_chat_tokens_total[${RATE_INTERVAL}])) > 0`);

  await t.test('shows a finite figure for every query of every panel of a busy pool', async () => {
    for (const { title, targets } of await dashboardPanels()) {
      for (const { expr } of targets ?? []) {
        const found = await prometheus.query(
          expr.replaceAll('$__rate_interval', RATE_INTERVAL).replaceAll('$__range', RATE_INTERVAL),
        );
        assert.ok(found.length > 0, `${title}: nothing for ${expr}`);
        const finite = found.filter(({ value }) => Number.isFinite(Number(value[1])));
        assert.ok(finite.length > 0, `${title}: no finite value for ${expr}`);
      }
    }
  });

  await t.test('evaluates every alert, and none fires in a healthy pool', async () => {
    const rules = await prometheus.rules();
    assert.ok(rules.length >= 7);
    for (const { name, health, lastError, state, labels, annotations, query } of rules) {
      assert.equal(health, 'ok', `${name}: ${lastError}`);
      assert.equal(state, 'inactive', name);
      assert.match(labels.severity ?? '', /^(critical|warning)$/, name);
      assert.ok(annotations.summary && annotations.action, `${name} says what is wrong and what to do`);
      await prometheus.query(query);
    }
  });

  await t.test('fires each alert when, and only when, its fault is there', () => {
    const run = spawnSync('promtool', ['test', 'rules', repositoryPath('test/vectors/alerts.test.yml')], {
      encoding: 'utf8',
    });
    assert.equal(run.status, 0, run.stdout + run.stderr);
  });

  await t.test('has rules and a configuration that promtool accepts', () => {
    const run = spawnSync('promtool', ['check', 'config', repositoryPath(PROMETHEUS_CONFIG)], {
      encoding: 'utf8',
    });
    assert.equal(run.status, 0, run.stdout + run.stderr);
    assert.match(run.stdout, /rules found/);
  });
});
