import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, it } from 'node:test';
import { parseHubAccess } from '#coordinator/import/hub/access.ts';
import { downloadFromHub } from '#coordinator/import/hub/download.ts';
import { parseHubId } from '#coordinator/import/hub/hub-id.ts';
import { folderWithRoom } from '#coordinator/import/hub/on-disk.ts';
import { openCheckpoint } from '#coordinator/import/open-checkpoint.ts';
import { SILENT, UNWATCHED, type Watch } from '#coordinator/progress.ts';
import { describeCheckpoint } from '#test/conformance/checkpoint.ts';
import { COMMIT, FakeHub } from '#test/helpers/fake-hub.ts';
import { SMALL_CONFIG, safetensorsFile, smallTokenizer, tensorsOf } from '#test/helpers/model-folder.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const hub = await FakeHub.start();
const WEIGHTS = safetensorsFile(tensorsOf(SMALL_CONFIG));
const utf8 = (text: string) => new TextEncoder().encode(text);
const TOKEN = 'hf_secretsecret';

beforeEach(() => {
  hub.files = new Map([
    ['.gitattributes', utf8('x')],
    ['config.json', utf8(JSON.stringify(SMALL_CONFIG))],
    ['model.safetensors', WEIGHTS],
    ['pytorch_model.bin', utf8('not wanted')],
    ['tokenizer.json', utf8(smallTokenizer())],
    ['README.md', utf8('not wanted either')],
  ]);
  hub.token = undefined;
  hub.failing = { status: 503, times: 0 };
  hub.cutting = { after: 0, times: 0 };
  hub.instead.clear();
  hub.list = { more: [] };
  hub.requests.length = 0;
});

const access = (token?: string) => ({ endpoint: hub.url, token });
const id = (text = hub.repo) => {
  const parsed = parseHubId(text);
  assert.ok(parsed, text);
  return parsed;
};
async function download(options: { text?: string; token?: string; dir?: string; watch?: Watch } = {}) {
  const cacheDir = options.dir ?? (await tempDir());
  const to = { access: access(options.token), cacheDir };
  return downloadFromHub(id(options.text), to, options.watch ?? UNWATCHED);
}
const fileRequests = () =>
  hub.requests.filter((line) => line.includes('model.safetensors') && !line.endsWith('=0-0'));

describe('a model of the hub', () => {
  const dataDir = tempDir();
  describeCheckpoint(async () =>
    openCheckpoint({ model: hub.repo, dataDir: await dataDir, hub: access }, UNWATCHED),
  );
});

describe('downloadFromHub', () => {
  it('brings what an import reads, and nothing else, at the commit of the revision', async () => {
    const { path, source, discard } = await download({ text: `${hub.repo}@v1` });
    assert.equal(source, `org/model@${COMMIT}`);
    assert.deepEqual((await readdir(path)).sort(), ['config.json', 'model.safetensors', 'tokenizer.json']);
    assert.deepEqual(new Uint8Array(await readFile(join(path, 'model.safetensors'))), WEIGHTS);
    assert.ok(hub.requests.some((line) => line.includes('/revision/v1')));
    assert.ok(hub.requests.every((line) => !line.includes('resolve/v1') && !line.includes('resolve/main')));
    await discard();
    await assert.rejects(readdir(path), { code: 'ENOENT' });
  });

  it('brings weights in parts with their index', async () => {
    const map = {
      weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
    };
    hub.files.delete('model.safetensors');
    hub.files.set('model.safetensors.index.json', utf8(JSON.stringify(map)));
    for (const part of Object.values(map.weight_map)) hub.files.set(part, utf8(part));
    const { path } = await download();
    assert.deepEqual((await readdir(path)).sort(), [
      'config.json',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
      'tokenizer.json',
    ]);
  });

  it('brings one GGUF file, from a folder too', async () => {
    hub.files.set('q8/x-Q8_0.gguf', utf8('GGUF'));
    const { path, source } = await download({ text: 'org/model/q8/x-Q8_0.gguf' });
    assert.equal(await readFile(path, 'utf8'), 'GGUF');
    assert.equal(source, `org/model/q8/x-Q8_0.gguf@${COMMIT}`);
    assert.ok(hub.requests.every((line) => !line.includes('config.json')));
  });

  it('goes on where the line was cut, within a try and in a later one', async () => {
    hub.cutting = { after: 1_000, times: 2 };
    hub.files.delete('tokenizer.json');
    hub.files.set('generation_config.json', new Uint8Array());
    const dir = await tempDir();
    const { path } = await download({ dir });
    assert.deepEqual(new Uint8Array(await readFile(join(path, 'model.safetensors'))), WEIGHTS);
    const ranges = fileRequests().filter((line) => line.startsWith('GET storage'));
    assert.equal(ranges.length, 3);
    assert.match(ranges[1] ?? '', /bytes=[1-9]\d*-/);
    hub.requests.length = 0;
    await download({ dir });
    assert.deepEqual(fileRequests(), [], 'what is there is not asked for again');
  });

  it('goes on with the part that a stopped try left', async () => {
    const dir = await tempDir();
    const stop = new AbortController();
    const progress = {
      ...SILENT,
      add: (bytes: number) => {
        if (bytes > 500) stop.abort(new Error('stopped'));
      },
    };
    hub.cutting = { after: 2_000, times: 1 };
    hub.files.delete('tokenizer.json');
    await assert.rejects(download({ dir, watch: { signal: stop.signal, progress } }), /stopped/);
    hub.cutting.times = 0;
    hub.requests.length = 0;
    const { path } = await download({ dir });
    assert.deepEqual(new Uint8Array(await readFile(join(path, 'model.safetensors'))), WEIGHTS);
    assert.match(fileRequests().at(-1) ?? '', /bytes=[1-9]\d*-/);
  });

  it('asks again where the hub is busy', async () => {
    hub.failing = { status: 503, times: 1 };
    await download();
    assert.equal(hub.failing.times, 0);
  });

  it('sends the token to the hub, and not to its storage', async () => {
    hub.token = TOKEN;
    await download({ token: TOKEN });
    assert.deepEqual(hub.storageTokens, []);
  });

  it('UNAUTHORISED: no token, or one that may not; it is never shown', async () => {
    hub.token = TOKEN;
    await assert.rejects(download(), { code: 'UNAUTHORISED', message: /org\/model.*set HF_TOKEN/ });
    await assert.rejects(download({ token: 'hf_other' }), (error: Error & { code: string }) => {
      assert.equal(error.code, 'UNAUTHORISED');
      assert.doesNotMatch(error.message, /hf_other/);
      return true;
    });
  });

  it('NOT_FOUND: no such revision', async () => {
    await assert.rejects(download({ text: 'org/model@v9' }), { code: 'NOT_FOUND', message: /org\/model@v9/ });
  });

  it('CHECKPOINT: nothing in it to import, with the files that could be named', async () => {
    hub.files.delete('model.safetensors');
    await assert.rejects(download(), { code: 'CHECKPOINT', message: /no weights as safetensors/ });
    hub.files = new Map([['a-Q4_0.gguf', utf8('GGUF')]]);
    await assert.rejects(download(), { code: 'CHECKPOINT', message: /name one: org\/model\/a-Q4_0\.gguf/ });
    await assert.rejects(download({ text: 'org/model/b.gguf' }), { code: 'CHECKPOINT', message: /b\.gguf/ });
  });

  it('HUB: other bytes than announced, in large files and in small ones', async () => {
    for (const path of ['model.safetensors', 'config.json']) {
      const dir = await tempDir();
      const wrong = (hub.files.get(path) as Uint8Array).slice();
      wrong[9] = (wrong[9] as number) ^ 1;
      hub.instead.set(path, wrong);
      await assert.rejects(download({ dir }), {
        code: 'HUB',
        message: new RegExp(`${path}: expected bytes of hash`),
      });
      hub.instead.clear();
      await download({ dir }); // the wrong bytes are gone
    }
    hub.instead.set('model.safetensors', WEIGHTS.slice(1));
    await assert.rejects(download(), { code: 'HUB', message: /expected \d+ bytes/ });
  });

  it('HUB: a list of files with entries that are none', async () => {
    const file = { type: 'file', path: 'model.safetensors', oid: 'x' };
    for (const entry of [
      null,
      'x',
      {},
      { ...file, size: '9' },
      { ...file, size: -1 },
      { ...file, size: 0.5 },
    ]) {
      hub.list = { more: [entry] };
      await assert.rejects(download(), { code: 'HUB', message: /entry \d+ of the list/ });
    }
  });

  it('HUB: a list that goes on elsewhere, where the token must not go', async () => {
    hub.token = TOKEN;
    const elsewhere = hub.url.replace('127.0.0.1', 'localhost');
    hub.list = { more: [], next: `${elsewhere}/next` };
    await assert.rejects(download({ token: TOKEN }), { code: 'HUB', message: /sends to http:..localhost/ });
    assert.ok(!hub.requests.some((line) => line.includes('/next')));
  });

  it('STORE_IO: no folder to keep it in, or no room for it', async () => {
    const file = join(await tempDir(), 'file');
    await writeFile(file, '');
    await assert.rejects(download({ dir: join(file, 'hub') }), { code: 'STORE_IO', message: /ENOTDIR/ });
    const room = folderWithRoom(await tempDir(), 2 ** 62);
    await assert.rejects(room, { code: 'STORE_IO', message: /has \d+ left/ });
  });

  it('HUB: nobody answers', async () => {
    const to = { access: { endpoint: 'http://127.0.0.1:9', token: undefined }, cacheDir: await tempDir() };
    await assert.rejects(downloadFromHub(id(), to, UNWATCHED), { code: 'HUB', message: /127\.0\.0\.1:9/ });
  });

  it('starts anew where the part that was left is longer than the file', async () => {
    const dir = await tempDir();
    const { path } = await download({ dir });
    const file = join(path, 'config.json');
    await writeFile(`${file}.part`, 'x'.repeat(10_000));
    await writeFile(file, '');
    await download({ dir });
    assert.equal(await readFile(file, 'utf8'), JSON.stringify(SMALL_CONFIG));
  });
});

describe('ids of the hub', () => {
  it('have an owner and a name, maybe a file, maybe a revision', () => {
    const none = { file: null, revision: null };
    assert.deepEqual(parseHubId('org/name'), { repo: 'org/name', ...none });
    assert.deepEqual(parseHubId('org/n.a-m_e@refs/pr/1'), {
      repo: 'org/n.a-m_e',
      file: null,
      revision: 'refs/pr/1',
    });
    assert.deepEqual(parseHubId('o/n/f/x.Q8_0.gguf@v1'), {
      repo: 'o/n',
      file: 'f/x.Q8_0.gguf',
      revision: 'v1',
    });
    for (const bad of [
      '',
      'name',
      '/org/name',
      './a',
      'a/b/c',
      'a//b',
      'a/b@',
      'a/ b',
      'http://a/b',
      'a/b/../c.gguf',
    ])
      assert.equal(parseHubId(bad), null, bad);
  });

  it('CHECKPOINT: one file of a folder, with what to name instead', async () => {
    const path = join(await tempDir(), 'model.safetensors');
    await writeFile(path, WEIGHTS);
    const opened = openCheckpoint({ model: path, dataDir: '', hub: access }, UNWATCHED);
    await assert.rejects(opened, { code: 'CHECKPOINT', message: /name the folder/ });
  });

  it('OPTION: what is neither there nor an id', async () => {
    const source = { dataDir: await tempDir(), hub: access };
    for (const model of ['./nothing', '/nothing/here', 'nothing', '~/model', 'a b'])
      await assert.rejects(openCheckpoint({ model, ...source }, UNWATCHED), {
        code: 'OPTION',
        message: /no folder or file/,
      });
  });
});

describe('the variables of the hub', () => {
  it('have defaults, and lose a slash at the end', () => {
    assert.deepEqual(parseHubAccess({}), { endpoint: 'https://huggingface.co', token: undefined });
    assert.deepEqual(parseHubAccess({ HF_ENDPOINT: 'http://mirror/x/', HF_TOKEN: ` ${TOKEN} ` }), {
      endpoint: 'http://mirror/x',
      token: TOKEN,
    });
  });

  it('OPTION: no URL, no token; the token is not shown', () => {
    for (const HF_ENDPOINT of ['mirror', 'ftp://mirror', 'file:///x'])
      assert.throws(() => parseHubAccess({ HF_ENDPOINT }), { code: 'OPTION' });
    assert.throws(
      () => parseHubAccess({ HF_TOKEN: 'secret' }),
      (error: Error & { code: string }) => error.code === 'OPTION' && !error.message.includes('secret'),
    );
  });
});
