import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StoredPoolServer, sha256, vectorPool } from '#test/helpers/stored-pool.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const LAUNCHER = fileURLToPath(new URL('../../coordinator/cli/aiblock.mjs', import.meta.url));
/** Nobody listens there: port 9 is discard. */
const NOBODY = 'http://127.0.0.1:9';

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const dataDir = await tempDir();
const server = await StoredPoolServer.start();

/** Runs the command of a user to its end. */
function aiblock(...args: string[]): Promise<Ended> {
  const env = { PATH: '/usr/bin:/bin', AIBLOCK_DATA_DIR: dataDir, AIBLOCK_COORDINATOR: NOBODY };
  return new Promise((resolve) => {
    execFile(execPath, [LAUNCHER, ...args], { env }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

describe('aiblock verify of a pool that answers', () => {
  it('prints a table and the verdict, and exits with 0', async () => {
    const { code, out, err } = await aiblock('verify', '--coordinator', server.url);
    assert.equal(code, 0, err);
    assert.match(out, /^ {2}ok {2}Parameter blocks +20 .*model roots$/m);
    assert.match(out, /^Everything checked holds/m);
    assert.equal(err, '');
  });

  it('BLOCK_PAYLOAD: names the block and the reason on both streams, and exits with 1', async () => {
    const [hash, bytes] = [...vectorPool().payloads].find(([, { length }]) => length < 100) ?? [
      '',
      new Uint8Array(),
    ];
    assert.equal(sha256(bytes), hash);
    server.pool.payloads.set(
      hash,
      bytes.map((byte) => byte ^ 1),
    );
    const text = await aiblock('verify', '--coordinator', server.url);
    const json = await aiblock('verify', '--coordinator', server.url, '--json');
    server.pool = vectorPool();
    assert.deepEqual([text.code, json.code], [1, 1]);
    assert.match(text.out, /^FAILED at B\d+: BLOCK_PAYLOAD: expected a payload with hash/m);
    assert.match(text.err, /^error BLOCK_PAYLOAD: B\d+: expected a payload with hash/);
    const report = JSON.parse(json.out);
    assert.deepEqual([report.ok, report.finding.code], [false, 'BLOCK_PAYLOAD']);
  });

  it('OPTION, exit code 2: a chain or a height that cannot be', async () => {
    for (const args of [['C'], ['B', '-1'], ['B', 'x']]) {
      const { code, err } = await aiblock('verify', ...args);
      assert.equal(code, 2);
      assert.match(err, /^error OPTION: /);
    }
  });
});

describe('aiblock verify and export of a pool that is not running', () => {
  before(async () => {
    assert.equal((await aiblock('init', '--dev')).code, 0);
  });

  it('reads the chain in the data folder, and leaves no process behind', async () => {
    const { code, out, err } = await aiblock('verify');
    assert.equal(code, 0, err);
    assert.match(err, /nobody answers at http:\/\/127\.0\.0\.1:9: reading the chain in /);
    assert.match(out, /^ {2}ok {2}Parameter blocks +52 /m);
    const again = await aiblock('verify', 'B', '7', '--json'); // the folder is free again
    assert.equal(again.code, 0, again.err);
    const report = JSON.parse(again.out);
    assert.equal(report.block.index, 7);
    assert.deepEqual(report.submission, { id: '0'.repeat(64), first: 0, last: 51 });
  });

  it('writes a Hugging Face folder', async () => {
    const dir = join(await tempDir(), 'model');
    const { code, out, err } = await aiblock('export', dir);
    assert.equal(code, 0, err);
    assert.match(out, /at B51, root [0-9a-f]{64}, 52 tensors/);
    assert.ok((await readdir(dir)).includes('model.safetensors'));
    assert.equal((await aiblock('export', dir)).code, 2);
  });

  it('UNAVAILABLE: an address that was given must answer', async () => {
    const { code, err } = await aiblock('verify', '--coordinator', NOBODY);
    assert.equal(code, 1);
    assert.match(err, /^error UNAVAILABLE: http:\/\/127\.0\.0\.1:9/);
  });
});
