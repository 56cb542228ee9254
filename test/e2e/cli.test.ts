import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { SOFTWARE_VERSION } from '#shared/version.ts';
import { aiblock, ChildHandle } from '#test/helpers/child.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestRedis } from '#test/helpers/test-redis.ts';
import { skipWithout } from '#test/helpers/tools.ts';

const COMMANDS = [
  'up',
  'init',
  'coordinator',
  'gateway',
  'backup',
  'restore',
  'reindex',
  'worker',
  'workers',
  'worker-token',
  'miner',
  'train',
  'submit',
  'upload',
  'chat',
  'verify',
  'proof',
  'ledger',
  'receipts',
  'wallet',
  'meta',
  'doctor',
  'export',
];
const NOBODY = 'http://127.0.0.1:9';
const ESCAPE = String.fromCharCode(27);

describe('command line', () => {
  it('explains itself', async () => {
    const { code, stdout } = await aiblock(['--help']);
    assert.equal(code, 0);
    for (const command of COMMANDS) assert.match(stdout, new RegExp(`^ +${command}\\b`, 'm'), command);
    for (const name of ['AIBLOCK_PORT', 'AIBLOCK_DATA_DIR', 'REDIS_URL'])
      assert.ok(stdout.includes(name), name);
    const version = await aiblock(['--version']);
    assert.equal(version.stdout.trim(), SOFTWARE_VERSION);
  });

  for (const command of COMMANDS) {
    it(`${command} --help shows usage and examples`, async () => {
      const { code, stdout, stderr } = await aiblock([command, '--help'], { NO_COLOR: '1' });
      assert.equal(code, 0, stderr);
      assert.ok(stdout.startsWith(`Usage: aiblock ${command}`), stdout);
      assert.match(stdout, /Examples:\n +\$ aiblock /);
      assert.ok(!stdout.includes(ESCAPE));
    });
  }

  it('OPTION: an unknown variable is refused with the nearest name', async () => {
    for (const command of ['coordinator', 'worker']) {
      const { code, stderr } = await aiblock([command], { AIBLOCK_PROT: '1', AIBLOCK_BACKEND: 'abacus' });
      assert.equal(code, 2);
      assert.match(stderr, /error OPTION: .*AIBLOCK_PROT.*AIBLOCK_PORT/);
      assert.match(stderr, /AIBLOCK_BACKEND/, 'every fault at once');
    }
  });

  it('OPTION: an unknown option or command, a value out of range', async () => {
    const noWorker = await tempDir();
    const wrong: [string[], RegExp][] = [
      [['up', '--prot', '1'], /--prot/],
      [['wroker'], /wroker/],
      [['worker', '--threads', '0'], /threads/],
      [['coordinator', '--port', '99999', '--data-dir', await tempDir()], /port/i],
      [['up', '--port', 'http', '--data-dir', await tempDir()], /port/i],
      [['coordinator', '--port', '0', '--data-dir', await tempDir()], /aiblock init/],
      [['verify', 'C'], /A or B/],
      [
        ['worker', '--coordinator', 'foo', '--data-dir', noWorker],
        /^error OPTION: coordinator: expected a URL/m,
      ],
      [
        ['worker', '--coordinator', NOBODY, '--coordinator', 'ftp://x', '--data-dir', noWorker],
        /coordinator: .*ftp/,
      ],
    ];
    for (const [args, expected] of wrong) {
      const { code, stderr, stdout } = await aiblock(args);
      assert.equal(code, 2, `${args.join(' ')}: ${stdout}${stderr}`);
      assert.match(stderr, /^error OPTION: /m);
      assert.match(stderr, expected);
      assert.doesNotMatch(stderr, /\n\s+at /);
    }
    assert.deepEqual(await readdir(noWorker), [], 'neither a key was made, nor this machine tested');
  });

  it('UNAVAILABLE: a pool that is not there', async () => {
    for (const args of [['chat', 'hello'], ['verify'], ['export', await tempDir()]]) {
      const { code, stderr } = await aiblock([...args, '--coordinator', NOBODY]);
      assert.equal(code, 1, stderr);
      assert.match(stderr, /^error UNAVAILABLE: .*127\.0\.0\.1:9/m);
    }
  });

  it('what Ctrl-C breaks off ends with 130', async () => {
    for (const args of [['verify'], ['verify', 'B', '60'], ['export', await tempDir()]]) {
      // A pool that never answers.
      let asked = (): void => undefined;
      const question = new Promise<void>((resolve) => {
        asked = resolve;
      });
      const pool = createServer(() => asked()).listen(0, '127.0.0.1');
      await once(pool, 'listening');
      const { port } = pool.address() as AddressInfo;
      const command = ChildHandle.aiblock('command', [...args, '--coordinator', `http://127.0.0.1:${port}`]);
      try {
        await Promise.race([question, command.ended]);
        command.kill('SIGINT');
        assert.equal((await command.ended).code, 130, command.describe());
      } finally {
        pool.closeAllConnections();
        pool.close();
      }
    }
  });

  it('a gateway that waits for its core ends with 130, without a stack', {
    skip: skipWithout('redis-server'),
  }, async () => {
    const redis = await TestRedis.start(await tempDir());
    try {
      const gateway = ChildHandle.aiblock('gateway', ['gateway', '--core', NOBODY, '--port', '0'], {
        REDIS_URL: redis.url,
      });
      await gateway.line((line) => line.includes('does not answer yet'));
      gateway.kill('SIGINT');
      assert.equal((await gateway.ended).code, 130, gateway.describe());
      assert.doesNotMatch(gateway.errorText, /^error /m);
      assert.doesNotMatch(gateway.errorText, /AbortError/);
    } finally {
      await redis.stop();
    }
  });

  it('init makes a chain once; --json is one object', async () => {
    const dataDir = await tempDir();
    const made = await aiblock(['init', '--dev', '--data-dir', dataDir, '--json']);
    assert.equal(made.code, 0, made.stderr);
    const result = JSON.parse(made.stdout) as { networkId: string; blocks: number };
    assert.match(result.networkId, /^[0-9a-f]{64}$/);
    assert.ok(result.blocks > 1);
    const again = await aiblock(['init', '--dev', '--data-dir', dataDir]);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /^error OPTION: .*chain/m);

    // What comes next is told with the folder, unless that is the usual one.
    const other = join(await tempDir(), "Ada's pool");
    const { stdout: told } = await aiblock(['init', '--dev', '--data-dir', other]);
    const option = `--data-dir '${other.replace("'", "'\\''")}'`;
    assert.ok(told.includes(`\nNext: aiblock coordinator ${option}, then aiblock worker ${option} on`), told);
    const env = { AIBLOCK_DATA_DIR: await tempDir() };
    const { stdout: usual } = await aiblock(['init', '--dev'], env);
    assert.match(usual, /^Next: aiblock coordinator, then aiblock worker on/m);

    // What is stored can be audited without a pool that runs.
    const { code, stdout, stderr } = await aiblock(['verify', '--data-dir', dataDir, '--json'], {
      AIBLOCK_COORDINATOR: NOBODY,
    });
    assert.equal(code, 0, stderr);
    assert.equal((JSON.parse(stdout) as { network: string }).network, result.networkId);
    assert.ok(!stdout.includes(ESCAPE));
  });
});
