import assert from 'node:assert/strict';
import { get } from 'node:http';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { freePort } from '#test/helpers/free-port.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { statusLines } from '#worker/status/lines.ts';
import { statusMetrics } from '#worker/status/metrics.ts';
import { statusPage } from '#worker/status/page.ts';
import { StatusServer } from '#worker/status/server.ts';
import { type WorkerStatus, workerStatusSchema } from '#worker/status/status.ts';
import { readAddress, statusFile } from '#worker/status/status-file.ts';
import { Tally } from '#worker/status/tally.ts';

const NOW = 1_800_000_000_000;
const status: WorkerStatus = {
  name: 'attic <b>',
  software: 'aiblock-pool/test',
  address: '0x01',
  owner: '0x02',
  roles: ['evaluate', 'mine'],
  started_at: NOW - 7_200_000,
  coordinators: ['https://pool.example'],
  connected: true,
  connected_since: NOW - 61_000,
  standing: 'active',
  machine: { cores: 8, load: 1.5, memory_bytes: 32e9, memory_free_bytes: 16e9 },
  backends: [{ name: 'tensorflow', device: 'a GPU', gflops: 210, memory_bytes: null }],
  gpus: [
    {
      id: '0',
      name: 'NVIDIA "H100"',
      utilisation: 0.5,
      celsius: 41,
      watts: null,
      memory_used_bytes: 1e9,
      memory_bytes: 80e9,
    },
  ],
  hashes_per_second: 5_000_000,
  tokens_per_second: 14_525,
  rss_bytes: 4e8,
  unfinished: 1,
  done: { evaluations: 7, failed_evaluations: 1, ranges: 9, shares: 3, credited: 2, answers: 0 },
  balance: '150000000',
  vesting: '0',
  last_trouble: { at: NOW - 5_000, message: 'the line broke' },
};

it('says it in words', () => {
  const lines = new Map(statusLines(status, NOW));
  assert.match(lines.get('pool') ?? '', /pool\.example: up for 1 min$/);
  assert.equal(lines.get('paid to'), '0x02');
  assert.match(lines.get('GPU 0') ?? '', /50 % busy, 41 °C, 1\.0 GB of 80\.0 GB used$/);
  assert.match(lines.get('evaluation') ?? '', /^14,525 tokens\/s, 7 done, 1 failed, 1 unfinished$/);
  assert.match(lines.get('hashing') ?? '', /^5,000,000 hashes\/s, 3 shares sent, 2 units of work credited$/);
  assert.equal(lines.get('earnings'), 'balance 1.5');
  assert.equal(lines.get('last trouble'), '5 s ago: the line broke');
  const away = new Map(statusLines({ ...status, balance: null, last_trouble: null, gpus: [] }, NOW));
  assert.equal(away.get('earnings'), 'the pool does not tell');
  assert.equal(away.get('last trouble'), 'none');
});

it('shows foreign text on the page as text', () => {
  const page = statusPage(status);
  assert.ok(page.includes('attic &lt;b&gt;') && !page.includes('<b>'));
  assert.ok(!page.includes('<script'));
});

it('tells Prometheus what is known, and nothing of what is not', () => {
  const text = statusMetrics(status);
  assert.match(text, /^aiblock_machine_evaluations_total\{outcome="done"\} 7$/m);
  assert.match(text, /^aiblock_machine_gpu_celsius\{gpu="0",name="NVIDIA \\"H100\\""\} 41$/m);
  assert.match(text, /^aiblock_machine_balance_units 150000000$/m);
  assert.doesNotMatch(text, /gpu_watts\{/);
  assert.doesNotMatch(statusMetrics({ ...status, balance: null }), /^aiblock_machine_balance_units /m);
});

it('serves this machine alone, and leaves its address in the data folder while it runs', async () => {
  const file = statusFile(await tempDir());
  await assert.rejects(readAddress(file), { code: 'UNAVAILABLE' });
  const server = await StatusServer.start({ port: 0, file, status: async () => status });
  after(() => server.close());
  assert.equal(await readAddress(file), server.url);
  assert.match(server.url, /^http:\/\/127\.0\.0\.1:/);
  const shown = await fetch(`${server.url}/status`);
  assert.deepEqual(workerStatusSchema.parse(await shown.json()), status);
  assert.match(await (await fetch(`${server.url}/metrics`)).text(), /aiblock_machine_connected 1/);
  assert.match(await (await fetch(server.url)).text(), /<!doctype html>/);
  assert.equal((await fetch(`${server.url}/constructor`)).status, 404);
  assert.equal((await fetch(server.url, { method: 'POST' })).status, 405);
  const led = await new Promise<number | undefined>((resolve, reject) => {
    const headers = { host: 'evil.example' };
    get(server.url, { headers }, (response) => resolve(response.resume().statusCode)).on('error', reject);
  });
  assert.equal(led, 403, 'a page of the internet that leads a browser here learns nothing');
  await server.close();
  await assert.rejects(readAddress(file), { code: 'UNAVAILABLE' });
});

it('OPTION: a port that is taken', async () => {
  const dir = await tempDir();
  const port = await freePort();
  const start = (name: string) =>
    StatusServer.start({ port, file: join(dir, name), status: async () => status });
  const first = await start('a');
  await assert.rejects(start('b'), { code: 'OPTION', message: /taken/ });
  await first.close();
});

it('counts what was sent and heard, and remembers the last trouble', async () => {
  let now = 5;
  const tally = new Tally(() => now);
  let open = false;
  const send = tally.counting(() => open);
  send({ type: 'ready', role: 'mine' });
  open = true;
  send({ type: 'ready', role: 'mine' });
  assert.equal(tally.sent('ready'), 1, 'what did not leave does not count');
  const { log, lines } = keptLog();
  const listening = tally.listening(log);
  listening.info('fine');
  assert.equal(tally.trouble, undefined);
  now = 7;
  listening.warn('the line broke', { code: 'X' });
  assert.deepEqual(tally.trouble, { at: 7, message: 'the line broke' });
  assert.equal(lines.length, 2);
  tally.message({ type: 'standing', standing: 'paused' });
  assert.equal(tally.standing, 'paused');
  tally.connected({ networkId: new Uint8Array(32), bearer: '', address: '0x01' });
  assert.equal(tally.standing, 'active', 'a new session begins as it is told');
  assert.equal(tally.received('standing'), 1);
});
