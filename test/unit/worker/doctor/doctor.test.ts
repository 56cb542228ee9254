import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, it } from 'node:test';
import { freePort } from '#test/helpers/free-port.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestGateway } from '#test/helpers/test-gateway.ts';
import { loadOrCreateKey } from '#worker/client/key-file.ts';
import { checkEnrolment } from '#worker/doctor/enrolment.ts';
import type { Finding } from '#worker/doctor/finding.ts';
import { checkKey } from '#worker/doctor/key.ts';
import { checkDisk, checkGpu, checkMemory, checkNode } from '#worker/doctor/machine.ts';
import { checkPool } from '#worker/doctor/pool.ts';
import { checkRunning } from '#worker/doctor/running.ts';

const signal = new AbortController().signal;

/** Where a driver is, a test cannot make it disappear. */
function hasNvidiaSmi(): boolean {
  return spawnSync('nvidia-smi').error === undefined;
}

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

/** A program of this name, first on the path while `then` runs. */
async function withProgram(name: string, script: string, then: () => Promise<void>): Promise<void> {
  const dir = await tempDir();
  await writeFile(join(dir, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const before = process.env.PATH;
  process.env.PATH = `${dir}:${before}`;
  try {
    await then();
  } finally {
    process.env.PATH = before;
  }
}

describe('checkGpu, NVIDIA', () => {
  it('lists the GPUs of the driver, with their temperature', async () => {
    const line = 'NVIDIA H100, 570.1, 81559 MiB, 31';
    await withProgram('nvidia-smi', `echo '${line}'`, async () => {
      const [gpu] = await checkGpu([]);
      assert.deepEqual(gpu, { check: 'gpu', state: 'fine', found: `${line} °C` });
    });
  });

  it('finds a driver that does not fit', async () => {
    await withProgram('nvidia-smi', 'echo could not communicate >&2; exit 9', async () => {
      assertFault((await checkGpu([]))[0], /nvidia-smi fails/, /install it again/);
    });
  });

  it('finds a card without a driver', { skip: hasNvidiaSmi() }, async () => {
    const pci = await tempDir();
    for (const [slot, vendor, kind] of [
      ['0000:01:00.0', '0x10de', '0x030000'],
      ['0000:01:00.1', '0x10de', '0x040300'],
      ['0000:02:00.0', '0x8086', '0x030000'],
    ] as const) {
      await mkdir(join(pci, slot));
      await writeFile(join(pci, slot, 'vendor'), `${vendor}\n`);
      await writeFile(join(pci, slot, 'class'), `${kind}\n`);
    }
    assertFault((await checkGpu([], pci))[0], /^1 NVIDIA GPU plugged in, and no driver/, /restart/);
    assert.equal((await checkGpu([], join(pci, 'none')))[0]?.state, 'note');
  });
});

describe('checkEnrolment', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await TestGateway.start();
  });
  after(() => gateway.close());
  const check = async (token: string | undefined, dataDir = '/nowhere') =>
    checkEnrolment(gateway.url, { dataDir, token, signal });

  it('tells whether the token enrols, without using it', async () => {
    for (const state of ['open', 'pool'] as const) {
      gateway.enrolment = { key: null, token: state };
      assert.equal((await check('secret')).state, 'fine');
    }
    assert.equal(gateway.enrolmentRequests[0]?.authorization, 'Bearer secret');
    for (const state of ['used', 'expired', 'revoked'] as const) {
      gateway.enrolment = { key: null, token: state };
      assertFault(await check('secret'), new RegExp(`is ${state}`), /worker-token create/);
    }
    gateway.enrolment = { key: null, token: 'unknown' };
    assertFault(await check('secret'), /none of this pool/, /worker-token create/);
    gateway.enrolment = { key: null, token: null };
    assertFault(await check(undefined), /there is no token/, /--token/);
  });

  it('tells what the operator decided about the key', async () => {
    const dir = await tempDir();
    await mkdir(join(dir, 'worker'));
    const { publicKey } = await loadOrCreateKey(join(dir, 'worker', 'key'));
    gateway.enrolment = { key: 'active', token: null };
    assert.equal((await check(undefined, dir)).state, 'fine');
    assert.ok(
      gateway.enrolmentRequests.at(-1)?.url.endsWith(`?key=${Buffer.from(publicKey).toString('hex')}`),
    );
    gateway.enrolment = { key: 'revoked', token: null };
    assertFault(await check(undefined, dir), /revoked the key/, /another --data-dir/);
    gateway.enrolment = { key: 'paused', token: null };
    assert.equal((await check(undefined, dir)).state, 'note');
  });

  it('says so where the pool does not tell', async () => {
    const found = await checkEnrolment('http://127.0.0.1:9', { dataDir: '/nowhere', token: 'x', signal });
    assert.equal(found.state, 'note');
  });
});

describe('checkRunning', () => {
  it('notes that none runs, or that the last one was killed', async () => {
    const dir = await tempDir();
    assert.match((await checkRunning(dir, Date.now)).found, /none runs/);
    await mkdir(join(dir, 'worker'));
    await writeFile(join(dir, 'worker', 'status.json'), '{"url":"http://127.0.0.1:9"}');
    assert.match((await checkRunning(dir, Date.now)).found, /did not end in order/);
  });
});

describe('checkKey', () => {
  it('follows the key from none to a damaged one', async () => {
    const dir = await tempDir();
    assert.equal((await checkKey(dir)).state, 'fine');
    await mkdir(join(dir, 'worker'));
    const path = join(dir, 'worker', 'key');
    await loadOrCreateKey(path);
    const whole = await checkKey(dir);
    assert.equal(whole.state, 'fine');
    assert.match(whole.found, /^0x[0-9a-fA-F]{40} in /);
    await chmod(path, 0o644);
    assertFault(await checkKey(dir), /others can read it/, /chmod 600/);
    await writeFile(path, 'secret that is no key');
    await chmod(path, 0o600);
    const damaged = await checkKey(dir);
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
    const found = await checkPool(`ws://127.0.0.1:${await freePort()}`, { now: Date.now, signal });
    assert.equal(found.length, 1);
    assertFault(found[0], /does not answer: /, /port of --coordinator/);
  });

  it('tells what to do by the reason', async () => {
    const mendOf = async (url: string) => (await checkPool(url, { now: Date.now, signal }))[0];
    assertFault(await mendOf('http://no-such-pool.invalid'), /ENOTFOUND|EAI_AGAIN/, /spelling/);
    assertFault(await mendOf(gateway.url.replace('http:', 'https:')), /SSL|ERR_/, /no TLS|firewall/);
  });

  it('OPTION: refuses what is no address', async () => {
    await assert.rejects(checkPool('ftp://pool.example', { now: Date.now, signal }), { code: 'OPTION' });
  });
});
