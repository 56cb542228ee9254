import assert from 'node:assert/strict';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import type { ModelView, SubmissionView } from '#shared/api/schemas.ts';
import { concatBytes, toHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import type { Dtype } from '#shared/weights/dtype.ts';
import { safetensorsHeader } from '#shared/weights/safetensors.ts';
import { aiblock } from '#test/helpers/child.ts';
import { better } from '#test/helpers/fake-worker.ts';
import { SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { ApiClient } from '#worker/client/api-client.ts';
import { BegunUploads } from '#worker/submit/begun-uploads.ts';
import { readTensors } from '#worker/submit/local-tensors.ts';
import { type SubmitEvent, type SubmitParts, submit } from '#worker/submit/submit.ts';
import { encryptKeystore } from '#worker/wallet/keystore.ts';

const OTHER_TENSOR = 'transformer.ln_f.weight';
const LARGE_TENSOR = 'transformer.wte.weight';
const home = await tempDir();

describe('aiblock submit and upload', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  let model: ModelView;
  before(async () => {
    pool = await TestCoordinator.start();
    model = await pool.model();
  });
  after(() => pool.destroy());

  const run = (...args: string[]) => aiblock([...args, '--coordinator', pool.url, '--data-dir', home]);
  const formOf = (name: string) => {
    const found = model.tensors.find((tensor) => tensor.name === name);
    assert.ok(found, name);
    return { name, dtype: found.dtype as Dtype, shape: found.shape };
  };
  const floats = (name: string, value: number) => {
    const elements = formOf(name).shape.reduce((a, b) => a * b, 1);
    return new Uint8Array(new Float32Array(elements).fill(value).buffer);
  };
  const save = async (path: string, tensors: Record<string, Uint8Array>, rename = (name: string) => name) => {
    const refs = Object.keys(tensors).map((name) => ({ ...formOf(name), name: rename(name), of: name }));
    const { header, order } = safetensorsHeader(refs);
    await writeFile(path, concatBytes(header, ...order.map(({ of }) => tensors[of] as Uint8Array)));
    return path;
  };
  const headBytes = async (name: string) => {
    const { hash } = model.tensors.find((tensor) => tensor.name === name) as { hash: string };
    return new Uint8Array(await (await fetch(new URL(`/payload/${hash}`, pool.url))).arrayBuffer());
  };

  it('uploads the changed tensors of a folder of shards, makes the key, and tells the story', async () => {
    const dir = join(home, 'model');
    await mkdir(dir);
    await save(join(dir, 'model-00001-of-00002.safetensors'), { [SMALL_TENSOR]: floats(SMALL_TENSOR, 0.5) });
    // Without the prefix of the class, as other tools save it.
    const unchanged = { [OTHER_TENSOR]: await headBytes(OTHER_TENSOR) };
    await save(join(dir, 'model-00002-of-00002.safetensors'), unchanged, (name) =>
      name.replace('transformer.', ''),
    );
    const worker = await pool.attach({ losses: better(100_000) });
    const { code, stdout, stderr } = await run('upload', dir, '--wait');
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^submission [0-9a-f]{64}: 1 tensors, .* bytes; 1 are as at the head and not sent/m);
    assert.match(stdout, /^paid\n {2}loss 5\.0000 -> 4\.9000.*\n {2}block B\d+\n {2}reward \d/m);
    assert.equal((await stat(join(home, 'miner', 'key'))).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(join(home, 'miner', 'uploads')), [], 'nothing is left to go on with');
    const again = await run('upload', dir);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^error WEIGHTS_UNCHANGED: /);
    await worker.close();
    model = await pool.model();
  });

  it('submits one tensor from its bytes, with JSON lines and a key of its own', async () => {
    const file = join(home, 'bias.bin');
    await writeFile(file, floats(SMALL_TENSOR, 0.625));
    const key = join(home, 'other', 'key');
    const { code, stdout, stderr } = await run(
      ...['submit', file, '--name', SMALL_TENSOR, '--json', '--key-file', key],
    );
    assert.equal(code, 0, stderr);
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; submission: SubmissionView });
    assert.equal(events.at(-1)?.type, 'state');
    const { submission } = events.at(-1) as { submission: SubmissionView };
    assert.deepEqual(submission.tensors, [SMALL_TENSOR]);
    assert.ok((await stat(key)).isFile());
    const signed = events.find(({ type }) => type === 'signed') as unknown as { address: string };
    assert.equal(signed.address, submission.miner);
  });

  it('signs with the key of an encrypted wallet, whose password no output shows', async () => {
    const file = join(home, 'wallet-bias.bin');
    await writeFile(file, floats(SMALL_TENSOR, 0.6875));
    const key = newKeyPair();
    const [keystore, passwordFile, wrong] = ['wallet.json', 'password', 'wrong'].map((name) =>
      join(home, name),
    );
    assert.ok(keystore && passwordFile && wrong);
    const cheap = { n: 1024, r: 8, p: 1 } as never;
    await writeFile(keystore, await encryptKeystore(key, 'correct horse', cheap));
    await writeFile(passwordFile, 'correct horse\n');
    await writeFile(wrong, 'battery staple\n');
    const args = [
      'submit',
      file,
      '--name',
      SMALL_TENSOR,
      '--json',
      '--keystore',
      keystore,
      '--password-file',
    ];
    const refused = await run(...args, wrong);
    assert.match(refused.stderr, /^error PASSWORD: /);
    const { code, stdout, stderr } = await run(...args, passwordFile);
    assert.equal(code, 0, stderr);
    const signed = stdout.split('\n').find((line) => line.includes('"signed"')) ?? '';
    assert.equal((JSON.parse(signed) as { address: string }).address, key.address);
    const said = stdout + stderr + refused.stdout + refused.stderr;
    assert.ok(!/correct horse|battery staple/.test(said) && !said.includes(toHex(key.secretKey)));
  });

  it('tells a refusal by its code, with what can be done', async () => {
    const worker = await pool.attach({ losses: better(-100_000) });
    const file = await save(join(home, 'worse.safetensors'), { [SMALL_TENSOR]: floats(SMALL_TENSOR, 0.75) });
    const { code, stdout, stderr } = await run('submit', file, '--wait');
    assert.equal(code, 1);
    assert.match(stdout, /^rejected\n(.*\n)* {2}GATE_NOT_BETTER: .*\n {2}train on/m);
    assert.match(stderr, /^error GATE_NOT_BETTER: /);
    await worker.close();
  });

  it('goes on with an upload that was broken off, also when the head has moved since', async () => {
    const file = await save(join(home, 'long.safetensors'), { [LARGE_TENSOR]: floats(LARGE_TENSOR, 0.5) });
    const key = newKeyPair();
    const attempt = async (change: Partial<SubmitParts['api']>) => {
      const now = await pool.model();
      const tensors = await readTensors(file, now.tensors);
      const events: SubmitEvent[] = [];
      const api = Object.assign(new ApiClient(pool.url), change);
      const begun = new BegunUploads(join(home, 'begun'));
      const parts = { api, begun, key, random: () => 0, report: (event: SubmitEvent) => events.push(event) };
      const sent = submit({ tensors, model: now }, parts, AbortSignal.timeout(60_000));
      const view = await sent.catch(() => undefined);
      return { view, events, signed: events.find((event) => event.type === 'signed') };
    };
    const real = new ApiClient(pool.url);
    const broken = await attempt({
      sendPart: async (part) => {
        const first = async function* (): AsyncGenerator<Uint8Array> {
          for await (const piece of part.body) return yield piece.subarray(0, 1_000);
        };
        await real.sendPart({ ...part, body: first(), bytes: 1_000 });
        throw new PoolError('OPTION', 'Ctrl-C');
      },
    });
    assert.equal(broken.view, undefined);
    const worker = await pool.attach({ losses: better(100_000) });
    await pool.commitWhole(9);
    await worker.close();
    const again = await attempt({});
    assert.equal(again.signed?.resumed, true);
    assert.equal(again.signed?.submission, broken.signed?.submission);
    assert.equal(again.view?.id, again.signed?.submission);
    const sending = again.events.find((event) => event.type === 'sending');
    assert.equal(sending?.done, 1_000, 'the first bytes are not sent again');
    model = await pool.model();
  });

  it('refuses at home what the pool would refuse', async () => {
    const two = await save(join(home, 'two.safetensors'), {
      [SMALL_TENSOR]: floats(SMALL_TENSOR, 0.875),
      [OTHER_TENSOR]: floats(OTHER_TENSOR, 0.875),
    });
    const short = join(home, 'short.bin');
    await writeFile(short, new Uint8Array(3));
    const nan = await save(join(home, 'nan.safetensors'), {
      [SMALL_TENSOR]: floats(SMALL_TENSOR, Number.NaN),
    });
    const unknown = await save(
      join(home, 'unknown.safetensors'),
      { [SMALL_TENSOR]: floats(SMALL_TENSOR, 1) },
      () => '__proto__',
    );
    const cases: [string[], RegExp, number][] = [
      [['submit', two], /OPTION: .*--name/, 2],
      [['submit', short, '--name', SMALL_TENSOR], /WEIGHTS_SHAPE: .*short\.bin/, 1],
      [['upload', nan], /WEIGHTS_NOT_FINITE: .*element 0/, 1],
      [['upload', unknown], /WEIGHTS_NAMES: .*__proto__/, 1],
      [['upload', short], /WEIGHTS_TRUNCATED: .*short\.bin/, 1],
      [['upload', join(home, 'nowhere')], /OPTION: .*nowhere.*ENOENT/, 2],
      [['submit', two, '--base', 'xyz'], /OPTION: .*base/, 2],
    ];
    for (const [args, expected, exit] of cases) {
      const { code, stderr } = await run(...args);
      assert.match(stderr, expected);
      assert.equal(code, exit, stderr);
      assert.doesNotMatch(stderr, /\n\s+at /);
    }
  });
});
