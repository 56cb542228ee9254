import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMetrics } from '#coordinator/metrics/metrics.ts';
import {
  ALERTS,
  DATA_SOURCES,
  dashboardPanels,
  type Panel,
  PROMETHEUS_CONFIG,
} from '#test/helpers/grafana.ts';
import { metricSources } from '#test/helpers/metric-sources.ts';
import { repositoryFile } from '#test/helpers/repository.ts';

const METRIC = /\b(?:aiblock|process|nodejs)_[a-z0-9_]+\b/g;
const GRID_COLUMNS = 24;

const existing = new Set(
  createMetrics(metricSources(), { version: '0' })
    .describe()
    .map(({ name }) => name),
);
/** The samples of a histogram carry a suffix that its family does not have. */
const family = (name: string) => (existing.has(name) ? name : name.replace(/_(bucket|sum|count)$/, ''));
const named = (text: string) => (text.match(METRIC) ?? []).map(family);

async function queries(): Promise<string> {
  const panels = await dashboardPanels();
  const expressions = panels.flatMap(({ targets }) => (targets ?? []).map(({ expr }) => expr));
  return expressions.join('\n') + (await repositoryFile(ALERTS));
}

describe('metrics, dashboards and alerts', () => {
  it('shows every metric of ours in a panel or an alert', async () => {
    const shown = new Set(named(await queries()));
    // What every Node process has anyway is there for whoever looks for it; ours must be worth a panel.
    const unseen = [...existing].filter((name) => name.startsWith('aiblock_') && !shown.has(name));
    assert.deepEqual(unseen, []);
  });

  it('names no metric that does not exist', async () => {
    const used = named(await queries());
    assert.ok(used.length > 30, 'the queries are found');
    assert.deepEqual(
      used.filter((name) => !existing.has(name)),
      [],
    );
  });

  it('gives every panel a title of its own, a text, a unit and the provisioned data source', async () => {
    const panels = await dashboardPanels();
    const sources = await repositoryFile(DATA_SOURCES);
    for (const { title, description, fieldConfig, datasource, targets } of panels) {
      assert.equal(panels.filter((panel) => panel.title === title).length, 1, title);
      assert.ok(description, `${title}: description`);
      assert.ok(fieldConfig?.defaults.unit, `${title}: unit`);
      assert.match(sources, new RegExp(`^ *uid: ${datasource?.uid}$`, 'm'), title);
      assert.ok(targets && targets.length > 0, `${title}: query`);
    }
  });

  it('lays panels out side by side', async () => {
    const panels = await dashboardPanels();
    for (const panel of panels) {
      assert.ok(panel.gridPos.x + panel.gridPos.w <= GRID_COLUMNS, panel.title);
      const over = panels.filter((other) => other.id !== panel.id && overlap(panel, other));
      assert.deepEqual(over, [], panel.title);
    }
  });

  it('tells Grafana the interval at which Prometheus scrapes', async () => {
    const interval = async (path: string, key: string) =>
      new RegExp(`^ *${key}: (\\S+)$`, 'm').exec(await repositoryFile(path))?.[1];
    const scraped = await interval(PROMETHEUS_CONFIG, 'scrape_interval');
    assert.ok(scraped);
    assert.equal(await interval(DATA_SOURCES, 'timeInterval'), scraped);
  });
});

function overlap({ gridPos: a }: Panel, { gridPos: b }: Panel): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}
