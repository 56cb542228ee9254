import assert from 'node:assert/strict';
import { access, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import type { MetaView } from '#shared/api/schemas.ts';
import { decodeCbor } from '#shared/block/cbor.ts';
import { aiblock } from '#test/helpers/child.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { encryptKeystore } from '#worker/wallet/keystore.ts';

const home = await tempDir();

describe('aiblock meta', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  before(async () => {
    pool = await TestCoordinator.start();
  });
  after(() => pool.destroy());

  const run = (...args: string[]) => aiblock(['meta', ...args, '--coordinator', pool.url]);
  const fine = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const ruling = async () => (await pool.get('/meta')).body as MetaView;
  const save = async (name: string, content: string) => {
    const path = join(home, name);
    await writeFile(path, content);
    return path;
  };

  it('proposes, shows, signs and commits a change of rules, and hands governance over to a wallet', async () => {
    const successors = [newKeyPair(), newKeyPair()] as const;
    const keys = successors.map(({ publicKey }) => `0x${Buffer.from(publicKey).toString('hex')}`);
    const file = join(home, 'change.meta');
    const rules = await save('rules.json', '[{"name":"candour","text":"Say what you do not know."}]');
    const fields = await save('fields.json', JSON.stringify({ governors: { threshold: 2, keys } }));
    const template = await save('template.jinja', '{% for m in messages %}{{ m.content }}{% endfor %}');
    const proposed = await fine(
      ...['propose', file, '--set', 'gate.z_milli=2500', '--set', 'name=renamed'],
      ...['--rules', rules, '--fields', fields, '--chat-template', template],
    );
    assert.match(proposed, /gate\.z_milli: 3000 -> 2500\n/);
    assert.match(proposed, /name: "test" -> "renamed"\n/);
    assert.match(proposed, /chat_template: "0 characters" -> "50 characters"\n/);
    assert.match(proposed, /Signed by 0 of the 1 governors/);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.match((await run('commit', file)).stderr, /^error SIGNATURE: /);
    assert.match((await run('propose', file, '--set', 'name=x')).stderr, /^error OPTION: .*exists already/);

    const missing = join(home, 'missing');
    assert.match(
      (await run('sign', file, '--key-file', missing)).stderr,
      /^error OPTION: .*missing: .*no such/,
    );
    await assert.rejects(access(missing), { code: 'ENOENT' });
    const stranger = await save('stranger', `${Buffer.from(newKeyPair().secretKey).toString('hex')}\n`);
    assert.match((await run('sign', file, '--key-file', stranger)).stderr, /^error UNAUTHORISED: /);
    assert.match(await fine('sign', file, '--data-dir', pool.dataDir), /Signed by 1 of the 1 governors/);
    assert.match(await fine('commit', file), /^Meta block A1 [0-9a-f]{64} rules what comes behind B head/);
    assert.equal((await ruling()).fields.name, 'renamed');
    assert.match(await fine('show'), /Governors {11}2 of 0x/);
    assert.match(await fine('show', '0'), /^Meta block A0 /);
    const verified = await aiblock(['verify', 'A', '1', '--coordinator', pool.url]);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
    assert.match(verified.stdout, /candour/);

    // Two of two, one of them in an encrypted wallet.
    const next = join(home, 'next.meta');
    const { vesting_bp: before } = (await ruling()).fields.reward as { vesting_bp: number };
    await fine('propose', next, '--set', 'reward.vesting_bp=1000');
    const cheap = { n: 1024, r: 8, p: 1 } as never;
    const keystore = await save('governor.json', await encryptKeystore(successors[0], 'pass', cheap));
    const password = await save('password', 'pass\n');
    const plain = await save('governor', `${Buffer.from(successors[1].secretKey).toString('hex')}\n`);
    assert.match(await fine('sign', next, '--keystore', keystore, '--password-file', password), /1 of the 2/);
    assert.match((await run('commit', next)).stderr, /^error SIGNATURE: /);
    await fine('sign', next, '--key-file', plain);
    const { changes, signed_by: signed } = JSON.parse(await fine('diff', next, '--json'));
    assert.deepEqual(changes, [{ path: 'reward.vesting_bp', before, after: 1000 }]);
    assert.equal(signed.length, 2);
    await fine('commit', next);
    assert.match(
      (await run('sign', next, '--key-file', plain)).stderr,
      /^error BLOCK_LINK: .*propose it anew/,
    );
  });

  it('makes a validation set of a text, and hands its held-out shards to the pool alone', async () => {
    const other = await TestCoordinator.start();
    try {
      const text = await save('text.txt', 'the white whale swam on, and the sea rolled. '.repeat(2_000));
      const file = join(home, 'text.meta');
      const at = ['--coordinator', other.url];
      const made = await aiblock(['meta', 'propose', file, '--validation', text, ...at]);
      assert.equal(made.code, 0, made.stderr);
      await access(`${file}.held-out`);
      const shard = decodeCbor(await readFile(`${file}.held-out`)) as Uint8Array[];
      assert.ok(
        shard[0] && !(await readFile(file)).includes(Buffer.from(shard[0])),
        'whoever signs does not see them',
      );
      await aiblock(['meta', 'sign', file, '--data-dir', other.dataDir, ...at]);
      const { code, stderr } = await aiblock(['meta', 'commit', file, ...at]);
      assert.equal(code, 0, stderr);
      const { index, fields } = (await other.get('/meta')).body as MetaView;
      const { windows } = fields.validation as { windows: number };
      assert.ok(index === 1 && windows > 128, String(windows));
    } finally {
      await other.destroy();
    }
  });

  it('refuses by its code what would be no manifest, or another model', async () => {
    const file = join(home, 'refused.meta');
    const broken = await save('broken.jinja', '{% for %}');
    const bad: [string[], RegExp][] = [
      [[], /^error OPTION: expected a change/],
      [['--set', 'gate'], /^error OPTION: --set gate/],
      [['--set', 'gate.windows=0'], /^error BLOCK_ENCODING: /],
      [['--set', 'surprise=1'], /^error BLOCK_ENCODING: /],
      [['--set', 'unsafe_keys=false'], /^error META_CHANGE: unsafe_keys/],
      [['--set', 'config={}'], /^error OPTION: config/],
      [['--chat-template', broken], /^error CHAT_TEMPLATE: /],
      [['--rules', broken], /^error OPTION: .*JSON/],
      [['--rules', join(home, 'missing')], /^error OPTION: /],
    ];
    for (const [args, message] of bad) {
      const { code, stderr } = await run('propose', file, ...args);
      assert.notEqual(code, 0);
      assert.match(stderr, message);
      await assert.rejects(access(file));
    }
  });
});
