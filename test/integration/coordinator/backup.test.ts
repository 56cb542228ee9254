import assert from 'node:assert/strict';
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeBackup } from '#coordinator/repair/backup.ts';
import { readBackupList } from '#coordinator/repair/backup-list.ts';
import { restoreBackup } from '#coordinator/repair/restore.ts';
import { newKeyPair, writeSecret } from '#coordinator/store/key-files.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { aiblock } from '#test/helpers/child.ts';
import { fileOf, post } from '#test/helpers/small-genesis.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { signTransfer } from '#worker/wallet/send.ts';

const NOBODY = { AIBLOCK_COORDINATOR: 'http://127.0.0.1:9' };
const TO = '0x1563915e194D8CfBA1943570603F7606A3115508';
const dir = await tempDir();
const now = Date.now;

describe('backup and restore', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  const miner = newKeyPair();
  /** Digests of transfers that the pool answered. */
  const acknowledged: string[] = [];
  let nonce = 0n;

  before(async () => {
    pool = await TestCoordinator.start();
    await writeSecret(pool.dataDir, 'pool', miner.secretKey);
    await pool.attach();
    const model = await pool.model();
    const tensors = Object.fromEntries(model.tensors.map(({ name }, i) => [name, 0.5 + i / 1024]));
    const file = fileOf(model, { key: miner, tensors });
    await post(pool.url, file);
    await pool.reaches(file.id, 'paid');
  });
  after(() => pool.destroy());

  const transfer = async () => {
    const network = fromHex((await pool.model()).network, 32);
    const expiry = BigInt(Math.floor(Date.now() / 1000) + 600);
    const key = keyPair(miner.secretKey);
    const mine = { from: key.address, to: TO, amount: 1n, nonce: nonce++, expiry };
    const response = await fetch(new URL('/transfer', pool.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(signTransfer(network, mine, key)),
    });
    const { digest } = (await response.json()) as { digest: string };
    assert.equal(response.status, 201);
    acknowledged.push(digest);
  };

  /** Digests of the transfers that a restored pool has. */
  const transfersIn = async (dataDir: string) => {
    const reader = await TestCoordinator.start({ dataDir, readOnly: true });
    const found = new Set<string>();
    for (let cursor = ''; ; ) {
      const page = (await reader.get(`/accounts/${miner.address}/entries?limit=500${cursor}`)).body as {
        entries: { kind: string; ref: string }[];
        next: number | null;
      };
      for (const { kind, ref } of page.entries) if (kind === 'transfer') found.add(ref);
      if (page.next === null) break;
      cursor = `&before=${page.next}`;
    }
    await reader.stop();
    return found;
  };

  it('of a pool under load holds all that was acknowledged before it, and passes the audit', async () => {
    let loading = true;
    const load = (async () => {
      for (let value = 1; loading; value++) {
        await Promise.all(Array.from({ length: 20 }, transfer));
        if (value % 3 === 0) await pool.commitWhole(0.5 / value);
      }
    })();
    const backups: { path: string; before: number }[] = [];
    for (const name of ['first', 'second', 'third']) {
      const path = join(dir, name);
      const before = acknowledged.length;
      await writeBackup({ dataDir: pool.dataDir, dir: path, keys: false, now });
      backups.push({ path, before });
    }
    loading = false;
    await load;
    assert.ok(acknowledged.length > 20);
    for (const { path, before } of backups) {
      const dataDir = `${path}-restored`;
      const { list, keys } = await restoreBackup({ dir: path, dataDir, replace: false, now });
      assert.equal(keys, false);
      const verified = await aiblock(['verify', '--data-dir', dataDir, '--json'], NOBODY);
      assert.equal(verified.code, 0, verified.stdout + verified.stderr);
      assert.equal((JSON.parse(verified.stdout) as { root: string }).root, list.pool.root);
      const restored = await transfersIn(dataDir);
      assert.deepEqual(
        acknowledged.slice(0, before).filter((digest) => !restored.has(digest)),
        [],
      );
    }
  });

  it('takes the keys along only when asked, readable by their owner alone, and a pool goes on from it', async () => {
    const path = join(dir, 'with-keys');
    const { code, stdout, stderr } = await aiblock([
      'backup',
      path,
      '--with-keys',
      '--data-dir',
      pool.dataDir,
    ]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /SECRET KEYS/);
    for (const name of ['salts', 'pool'])
      assert.equal((await stat(join(path, 'keys', name))).mode & 0o777, 0o600);
    const dataDir = join(dir, 'goes-on');
    const restored = await aiblock(['restore', path, '--data-dir', dataDir]);
    assert.equal(restored.code, 0, restored.stderr);
    assert.equal((await stat(join(dataDir, 'keys', 'salts'))).mode & 0o777, 0o600);
    const again = await TestCoordinator.start({ dataDir });
    await again.attach();
    await again.commitWhole(0.001);
    await again.destroy();

    const plain = join(dir, 'first');
    assert.deepEqual((await readdir(plain)).sort(), ['backup.json', 'store']);
    const told = await aiblock(['backup', join(dir, 'told'), '--data-dir', pool.dataDir]);
    assert.match(told.stdout, /It holds no keys/);
  });

  it('keeps the payloads of submissions that wait', async () => {
    for (const worker of pool.workers) await worker.close();
    const model = await pool.model();
    const name = model.tensors.at(-1)?.name as string;
    const file = fileOf(model, { key: newKeyPair(), tensors: { [name]: 0.75 } });
    await post(pool.url, file);
    await pool.reaches(file.id, 'queued');
    const path = join(dir, 'waiting');
    await writeBackup({ dataDir: pool.dataDir, dir: path, keys: true, now });
    const dataDir = join(dir, 'waiting-restored');
    await restoreBackup({ dir: path, dataDir, replace: false, now });
    const again = await TestCoordinator.start({ dataDir });
    await again.attach();
    await again.reaches(file.id, 'paid');
    await again.destroy();
  });

  it('OPTION: a folder that is in use, or is no backup', async () => {
    await assert.rejects(writeBackup({ dataDir: pool.dataDir, dir: join(dir, 'first'), keys: false, now }), {
      code: 'OPTION',
    });
    await assert.rejects(writeBackup({ dataDir: join(dir, 'none'), dir: join(dir, 'x'), keys: false, now }), {
      code: 'OPTION',
    });
    const dataDir = join(dir, 'first-restored');
    await assert.rejects(restoreBackup({ dir: join(dir, 'first'), dataDir, replace: false, now }), {
      code: 'OPTION',
    });
    await assert.rejects(restoreBackup({ dir: pool.dataDir, dataDir: join(dir, 'y'), replace: false, now }), {
      code: 'OPTION',
    });
    assert.ok(!(await readdir(dir)).some((name) => /unfinished/.test(name)));
  });

  it('STORE_LOCKED: --replace below a pool that runs', async () => {
    await assert.rejects(
      restoreBackup({ dir: join(dir, 'first'), dataDir: pool.dataDir, replace: true, now }),
      { code: 'STORE_LOCKED' },
    );
    assert.equal((await pool.get('/readyz')).status, 200);
  });

  it('sets a damaged store aside with --replace', async () => {
    const dataDir = join(dir, 'damaged');
    await mkdir(join(dataDir, 'store', 'db'), { recursive: true });
    await writeFile(join(dataDir, 'store', 'mark'), new Uint8Array(5_000));
    const { code, stdout, stderr } = await aiblock([
      'restore',
      join(dir, 'first'),
      '--replace',
      '--data-dir',
      dataDir,
    ]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /The store that was there lies in/);
    assert.match(stdout, /There are no keys/);
    assert.equal((await aiblock(['verify', '--data-dir', dataDir], NOBODY)).code, 0);
    // The folder that is named, whoever answers at the usual address.
    const running = { AIBLOCK_COORDINATOR: pool.url };
    const named = await aiblock(['verify', '--data-dir', dataDir, '--json'], running);
    assert.equal(named.code, 0, named.stderr);
    assert.notEqual((JSON.parse(named.stdout) as { coordinator: string }).coordinator, pool.url);
    const locked = await aiblock(['verify', '--data-dir', pool.dataDir], running);
    assert.deepEqual([locked.code, /STORE_LOCKED/.test(locked.stderr)], [1, true], locked.stderr);
    const nowhere = join(dir, 'nowhere');
    const missing = await aiblock(['ledger', 'audit', '--data-dir', nowhere], running);
    assert.match(missing.stderr, /OPTION: .*nowhere holds no pool/);
    await assert.rejects(stat(nowhere), { code: 'ENOENT' });
  });

  it('OPTION: another key is there', async () => {
    const dataDir = join(dir, 'other-key');
    await writeSecret(dataDir, 'salts', new Uint8Array(32).fill(9));
    await assert.rejects(restoreBackup({ dir: join(dir, 'with-keys'), dataDir, replace: false, now }), {
      code: 'OPTION',
    });
    assert.deepEqual(await readdir(dataDir), ['keys']);
    assert.equal((await readFile(join(dataDir, 'keys', 'salts'), 'utf8')).trim(), '09'.repeat(32));
  });

  it('STORE_CORRUPT: a backup with a changed, missing or added byte, or a list that leads elsewhere', async () => {
    const spoiled = async (name: string, spoil: (copy: string) => Promise<void>) => {
      const copy = join(dir, `spoiled-${name}`);
      await cp(join(dir, 'first'), copy, { recursive: true });
      await spoil(copy);
      const dataDir = join(dir, `spoiled-${name}-restored`);
      await assert.rejects(
        restoreBackup({ dir: copy, dataDir, replace: false, now }),
        { code: 'STORE_CORRUPT' },
        name,
      );
      assert.deepEqual(await readdir(dataDir).catch(() => []), [], name);
    };
    const list = await readBackupList(join(dir, 'first'));
    const rewrite = (change: (value: typeof list) => object) => async (copy: string) =>
      writeFile(join(copy, 'backup.json'), JSON.stringify(change(list)));
    for (const [i, { path }] of list.files.entries()) {
      await spoiled(`changed-${i}`, async (copy) => {
        const bytes = await readFile(join(copy, path));
        const at = bytes.length >> 1;
        if (bytes.length > 0) bytes[at] = (bytes[at] as number) ^ 1;
        await writeFile(join(copy, path), bytes.length > 0 ? bytes : 'x');
      });
      await spoiled(`gone-${i}`, (copy) => rm(join(copy, path)));
    }
    await spoiled('list-bytes', (copy) => writeFile(join(copy, 'backup.json'), '{'));
    await spoiled(
      'list-root',
      rewrite((l) => ({ ...l, pool: { ...l.pool, root: '0'.repeat(64) } })),
    );
    for (const path of ['../evil', '/etc/passwd', 'store/../../evil', 'keys/../evil', 'store/db/..'])
      await spoiled(
        `path-${path.length}`,
        rewrite((l) => ({ ...l, files: [{ ...l.files[0], path }] })),
      );
  });
});
