import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestGateway } from '#test/helpers/test-gateway.ts';
import { loadOrCreateKey } from '#worker/client/key-file.ts';
import type { Finding } from '#worker/doctor/finding.ts';
import { checkKey } from '#worker/doctor/key.ts';
import { checkDisk, checkGpu, checkMemory, checkNode } from '#worker/doctor/machine.ts';
import { checkPool } from '#worker/doctor/pool.ts';

const signal = new AbortController().signal;

function assertFault(finding: Finding | undefined, found: RegExp, mend: RegExp): void {
  assert.equal(finding?.state, 'fault');
  assert.match(finding.found, found);
  assert.match(finding.mend ?? '', mend);
}

describe('checkNode', () => {
  it('asks for Node 20.19', () => {
    for (const version of ['20.19.0', '20.20.2', '22.0.0', '24.1.3'])
      assert.equal(checkNode(version).state, 'fine', version);
    for (const version of ['20.18.9', '18.20.0']) assertFault(checkNode(version), /too old/, /nodejs\.org/);
  });
});

describe('checkMemory', () => {
  it('wants 2 GB', () => {
    assert.equal(checkMemory({ free: 4e9, total: 8e9 }).state, 'fine');
    assertFault(checkMemory({ free: 1e9, total: 8e9 }), /1\.0 GB of 8\.0 GB free/, /end other programs/);
  });
});

describe('checkDisk', () => {
  it('measures where a folder will be, and leaves nothing there', async () => {
    const dir = await tempDir();
    const { found } = await checkDisk(join(dir, 'not', 'yet'));
    assert.match(found, /GB free, writes \d+ MB\/s/);
    assert.ok(found.startsWith(dir));
    assert.deepEqual(await readdir(dir), []);
  });

  it('says so where nothing can be written', async () => {
    assertFault(await checkDisk('/proc/1'), /cannot be written/, /--data-dir/);
  });
});

describe('checkGpu', () => {
  it('lists the Vulkan drivers', async () => {
    const dir = await tempDir();
    await writeFile(join(dir, 'a_icd.json'), '{}');
    const [, vulkan] = await checkGpu([dir, join(dir, 'missing')]);
    assert.deepEqual(vulkan, { check: 'vulkan', state: 'fine', found: 'a_icd.json' });
    const [, none] = await checkGpu([]);
    assert.equal(none?.state, 'note');
  });
});

describe('checkKey', () => {
  it('follows the key from none to a damaged one', async () => {
    const dir = await tempDir();
    assertFault(await checkKey(dir, undefined), /no key yet, and no token/, /--token/);
    assert.equal((await checkKey(dir, 'token')).state, 'fine');
    await mkdir(join(dir, 'worker'));
    const path = join(dir, 'worker', 'key');
    await loadOrCreateKey(path);
    const whole = await checkKey(dir, undefined);
    assert.equal(whole.state, 'fine');
    assert.match(whole.found, /^0x[0-9a-fA-F]{40} in /);
    await chmod(path, 0o644);
    assertFault(await checkKey(dir, undefined), /others can read it/, /chmod 600/);
    await writeFile(path, 'secret that is no key');
    await chmod(path, 0o600);
    const damaged = await checkKey(dir, undefined);
    assertFault(damaged, /holds no key/, /enrol anew/);
    assert.doesNotMatch(JSON.stringify(damaged), /secret/);
  });
});

describe('checkPool', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await TestGateway.start();
  });
  after(() => gateway.close());

  it('finds a coordinator that answers, its clock and its protocol', async () => {
    const found = await checkPool(gateway.url, { now: Date.now, signal });
    assert.deepEqual(
      found.map(({ check, state }) => `${check} ${state}`),
      ['network fine', 'clock fine', 'websocket fine'],
    );
  });

  it('finds a clock that is wrong, in both directions', async () => {
    const skewed = async (ms: number) =>
      (await checkPool(gateway.url, { now: () => Date.now() + ms, signal }))[1];
    assertFault(await skewed(120_000), /(119|120|121) s ahead of/, /ntp/);
    assertFault(await skewed(-60_000), /(59|60|61) s behind/, /ntp/);
  });

  it('finds another version of the protocol, and says which side is old', async () => {
    const { protocol } = gateway;
    for (const [version, old] of [
      [protocol + 1, /this program/],
      [protocol - 1, /the pool/],
    ] as const) {
      gateway.protocol = version;
      assertFault((await checkPool(gateway.url, { now: Date.now, signal }))[2], /version/, old);
    }
    gateway.protocol = protocol;
  });

  it('finds a proxy that passes no WebSocket and tells no time', async () => {
    const plain = createServer((_request, response) => {
      response.sendDate = false;
      response.end('{}');
    });
    plain.listen(0, '127.0.0.1');
    await once(plain, 'listening');
    const url = `http://127.0.0.1:${(plain.address() as AddressInfo).port}`;
    const found = await checkPool(url, { now: Date.now, signal });
    plain.closeAllConnections();
    plain.close();
    assert.equal(found[1]?.state, 'note');
    assertFault(found[2], /no WebSocket/, /Upgrade/);
  });

  it('finds nobody there', async () => {
    const found = await checkPool('ws://127.0.0.1:9', { now: Date.now, signal });
    assert.equal(found.length, 1);
    assertFault(found[0], /does not answer: /, /firewall/);
  });

  it('OPTION: refuses what is no address', async () => {
    await assert.rejects(checkPool('ftp://pool.example', { now: Date.now, signal }), { code: 'OPTION' });
  });
});
