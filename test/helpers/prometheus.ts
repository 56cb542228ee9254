import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { ALERTS, PROMETHEUS_CONFIG } from '#test/helpers/grafana.ts';
import { repositoryFile, repositoryPath } from '#test/helpers/repository.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { toolPath } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [at: number, value: string];
}
export interface AlertRule {
  readonly name: string;
  readonly query: string;
  readonly state: 'inactive' | 'pending' | 'firing';
  readonly health: string;
  readonly lastError?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}
export interface Prometheus {
  /** The result of an instant query; throws what Prometheus says against it. */
  query(expr: string): Promise<Series[]>;
  /** Resolves when `expr` has a result. */
  until(expr: string): Promise<void>;
  /** The alerting rules, after each was evaluated at least once. */
  rules(): Promise<AlertRule[]>;
}

/**
 * Prometheus on a free port, with the repository's own configuration and rules; only the target and the interval
 * (half a second) are others. Resolves when the target was scraped; it
 * ends after the calling test.
 */
export async function startPrometheus(target: string): Promise<Prometheus> {
  let child: ChildProcess | undefined;
  // Before tempDir's own: the folder goes when nobody writes to it any more.
  after(() => child && end(child));
  const dir = await tempDir();
  const config = await writeConfig(target, dir);
  const program = toolPath('prometheus');
  assert.ok(program);
  child = spawn(
    program,
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(dir, 'tsdb')}`,
      '--web.listen-address=127.0.0.1:0',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const api = `http://${await listeningAddress(child)}/api/v1`;
  const query = async (expr: string) =>
    (await call<{ result: Series[] }>(`${api}/query`, new URLSearchParams({ query: expr }))).result;
  const rules = async () => (await call<{ groups: RuleGroup[] }>(`${api}/rules`)).groups.flatMap(ofGroup);
  const resulting = async (expr: string) => {
    await until(`${expr} has a result`, async () => (await query(expr)).length > 0);
  };
  await resulting('up == 1');
  return {
    query,
    until: resulting,
    rules: async () => {
      await until('all rules are evaluated', async () =>
        (await rules()).every((r) => r.health !== 'unknown'),
      );
      return rules();
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}

interface RuleGroup {
  readonly rules: AlertRule[];
}
const ofGroup = (group: RuleGroup): AlertRule[] => group.rules;

/** The repository's configuration beside its rules, with one text replaced where each must stand. */
async function writeConfig(target: string, dir: string): Promise<string> {
  let text = await repositoryFile(PROMETHEUS_CONFIG);
  for (const [from, to] of [
    ['scrape_interval: 15s', 'scrape_interval: 500ms\n  scrape_timeout: 500ms'],
    ['evaluation_interval: 15s', 'evaluation_interval: 500ms'],
    ["targets: ['coordinator:8080']", `targets: ['${target}']`],
  ] as const) {
    assert.equal(text.split(from).length, 2, `${PROMETHEUS_CONFIG} has one "${from}"`);
    text = text.replace(from, to);
  }
  await writeFile(join(dir, 'prometheus.yml'), text);
  await copyFile(repositoryPath(ALERTS), join(dir, 'alerts.yml'));
  return join(dir, 'prometheus.yml');
}

/** Prometheus chooses the port and writes it to its log. */
async function listeningAddress(child: ChildProcess): Promise<string> {
  const log: string[] = [];
  assert.ok(child.stderr);
  const lines = createInterface(child.stderr);
  const found = new Promise<string>((resolve, reject) => {
    lines.on('line', (line) => {
      log.push(line);
      const address = /msg="?Listening on"? address=(\S+)/.exec(line)?.[1];
      if (address !== undefined) resolve(address);
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`prometheus ended:\n${log.join('\n')}`)));
  });
  return await found;
}

async function call<T>(url: string, body?: URLSearchParams): Promise<T> {
  const response = await fetch(url, body === undefined ? {} : { method: 'POST', body });
  const answer = (await response.json()) as { status: string; data: T; error?: string };
  assert.equal(answer.status, 'success', `${body?.get('query') ?? url}: ${answer.error}`);
  return answer.data;
}
