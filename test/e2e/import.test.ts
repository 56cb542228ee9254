import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { aiblock } from '#test/helpers/child.ts';
import { COMMIT, FakeHub } from '#test/helpers/fake-hub.ts';
import { SMALL_CONFIG, safetensorsFile, tensorsOf, writeModelFolder } from '#test/helpers/model-folder.ts';
import { repositoryPath } from '#test/helpers/repository.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const NOBODY = { AIBLOCK_COORDINATOR: 'http://127.0.0.1:9' };
const TEXTS = {
  'tokenizer_config.json': '{ "eos_token": "<|endoftext|>" }\n',
  'generation_config.json': '{ "eos_token_id": 0 }',
  'chat_template.jinja': '{{ messages[0].content }}',
};

async function made(args: readonly string[], env: Record<string, string> = {}) {
  const dataDir = await tempDir();
  const { code, stdout, stderr } = await aiblock(['init', ...args, '--data-dir', dataDir, '--json'], env);
  assert.equal(code, 0, stderr);
  return { dataDir, result: JSON.parse(stdout) as { networkId: string; blocks: number } };
}

async function exported(dataDir: string): Promise<Map<string, Buffer>> {
  const dir = join(await tempDir(), 'out');
  const { code, stderr } = await aiblock(['export', dir, '--data-dir', dataDir], NOBODY);
  assert.equal(code, 0, stderr);
  const names = await readdir(dir);
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(dir, name))] as const)),
  );
}

/** Bytes behind the header of a safetensors file. */
function tensorData(file: Uint8Array): Uint8Array {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  return new Uint8Array(file.subarray(8 + length));
}

describe('a pool that starts from a model', () => {
  it('gives a folder back as it came: texts and tensors byte for byte', async () => {
    const folder = await writeModelFolder(join(await tempDir(), 'model'), { files: TEXTS });
    const rules = join(folder, 'rules.json');
    await writeFile(rules, '[{"name": "one", "text": "the only one"}]');
    const { dataDir, result } = await made(['--model', folder, '--rules', rules, '--window', '32']);
    assert.equal(result.blocks, tensorsOf(SMALL_CONFIG).length);
    const files = await exported(dataDir);
    for (const name of [...Object.keys(TEXTS), 'config.json', 'tokenizer.json'])
      assert.deepEqual(files.get(name), await readFile(join(folder, name)), name);
    assert.deepEqual(
      tensorData(files.get('model.safetensors') as Buffer),
      tensorData(safetensorsFile(tensorsOf(SMALL_CONFIG))),
    );
    const { code, stdout, stderr } = await aiblock(['verify', '--data-dir', dataDir, '--json'], NOBODY);
    assert.equal(code, 0, stderr);
    assert.equal((JSON.parse(stdout) as { network: string }).network, result.networkId);
  });

  it('takes a GGUF file', async () => {
    const { dataDir } = await made(['--model', repositoryPath('test/vectors/models/gguf/llama3-q8_0.gguf')]);
    const config = JSON.parse(String((await exported(dataDir)).get('config.json')));
    assert.equal(config.model_type, 'llama');
  });

  it('takes a model of the hub, whose download is gone afterwards', async () => {
    const hub = await FakeHub.start();
    hub.token = 'hf_secret';
    const folder = await writeModelFolder(join(await tempDir(), 'model'), { files: TEXTS });
    for (const name of await readdir(folder)) hub.files.set(name, await readFile(join(folder, name)));
    const dataDir = await tempDir();
    const args = ['init', '--model', 'org/model@v1', '--data-dir', dataDir];
    const without = await aiblock(args, { HF_ENDPOINT: hub.url, HF_TOKEN: '' });
    assert.equal(without.code, 1);
    assert.match(without.stderr, /^error UNAUTHORISED: .*HF_TOKEN/m);
    const { code, stdout, stderr } = await aiblock(args, { HF_ENDPOINT: hub.url, HF_TOKEN: 'hf_secret' });
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`^Model +org/model@${COMMIT}$`, 'm'));
    assert.match(stderr, /^Downloading model\.safetensors: /m);
    assert.ok(!`${stdout}${stderr}`.includes('hf_secret'));
    assert.deepEqual(await readdir(join(dataDir, 'hub', 'org--model')), []);
  });

  it('refuses before anything is made, on one line', async () => {
    const folder = await writeModelFolder(join(await tempDir(), 'model'), {
      files: { 'model.safetensors': safetensorsFile(tensorsOf(SMALL_CONFIG).slice(1)) },
    });
    const cases: [string[], string, RegExp][] = [
      [['--model', folder], 'WEIGHTS_NAMES', /1 of 16 tensors are missing/],
      [['--governor-key-file', join(folder, 'nothing')], 'OPTION', /nothing cannot be read \(ENOENT\)/],
      [['--model', './nothing'], 'OPTION', /no folder or file/],
      [['--model', folder, '--dev'], 'OPTION', /--dev/],
      [['--window', '64'], 'OPTION', /--window: only together with --model/],
      [['--model', folder, '--window', '0'], 'OPTION', /window/],
      [['--model', folder, '--validation-text', join(folder, 'config.json')], 'OPTION', /held out/],
    ];
    for (const [args, error, message] of cases) {
      const dataDir = await tempDir();
      const { code, stderr } = await aiblock(['init', ...args, '--data-dir', dataDir]);
      assert.equal(code, error === 'OPTION' ? 2 : 1, stderr);
      assert.match(stderr, new RegExp(`^error ${error}: `, 'm'));
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /\n\s+at /);
      assert.ok(!(await readdir(dataDir)).includes('keys'), args.join(' '));
    }
  });
});
