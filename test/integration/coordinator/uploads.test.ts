import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { HTTP_DEFAULTS } from '#coordinator/http/app.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { INTAKE_DEFAULTS } from '#coordinator/submission/intake.ts';
import { errorBodySchema } from '#shared/api/common-schemas.ts';
import { claimSchema, modelSchema, type UploadView, uploadSchema } from '#shared/api/schemas.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { claimOf } from '#shared/protocol/submission.ts';
import { ChildHandle } from '#test/helpers/child.ts';
import { fileOf, post, SMALL_TENSOR, smallContent, type TestFile } from '#test/helpers/small-genesis.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { makeChain, TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';

const LARGE_TENSOR = 'transformer.wte.weight';

describe('uploads by parts', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  before(async () => {
    pool = await TestCoordinator.start();
  });
  after(() => pool.destroy());

  const newFile = async (tensors: Record<string, number>, key = newKeyPair()) =>
    fileOf(await pool.model(), { key, tensors });
  const call = async (method: string, path: string, body?: Uint8Array, headers = {}) => {
    const response = await fetch(new URL(path, pool.url), {
      method,
      headers,
      ...(body && { body: body as Uint8Array<ArrayBuffer> }),
    });
    const json = await response.json();
    const view = response.ok ? uploadSchema.parse(json) : undefined;
    const error = response.ok ? undefined : errorBodySchema.parse(json).error;
    return { status: response.status, view, error, headers: response.headers };
  };
  const begin = (file: TestFile) => call('POST', '/uploads', file.header);
  const part = (file: TestFile, from: number, to: number) => {
    const { length } = file.header;
    return call('PUT', `/uploads/${file.id}/parts/${from}`, file.bytes.slice(length + from, length + to));
  };
  const dataBytes = (file: TestFile) => file.bytes.length - file.header.length;
  const spool = async () => readdir(join(pool.dataDir, 'spool'));

  it('becomes a submission with the last byte, and is known from then on', async () => {
    const file = await newFile({ [SMALL_TENSOR]: 0.5, [LARGE_TENSOR]: 0.25 });
    const begun = await begin(file);
    assert.equal(begun.status, 201);
    assert.deepEqual({ ...begun.view, expires_at: 0 }, {
      id: file.id,
      bytes: dataBytes(file),
      received: 0,
      expires_at: 0,
    } satisfies UploadView);
    assert.equal((await begin(file)).status, 200);
    assert.equal((await part(file, 0, 7)).view?.received, 7);
    assert.equal((await part(file, 7, 100)).view?.received, 100);
    assert.equal((await call('GET', `/uploads/${file.id}`)).view?.received, 100);
    const whole = await part(file, 100, dataBytes(file));
    assert.equal(whole.status, 202);
    assert.equal(whole.view?.submission?.id, file.id);
    for (const again of [await begin(file), await part(file, 0, 9)]) {
      assert.equal(again.status, 200);
      assert.equal(again.view?.submission?.id, file.id);
    }
    assert.equal((await post(pool.url, file)).status, 200);
    assert.equal((await pool.submission(file.id)).state, 'queued');
  });

  it('STATE: tells where to go on', async () => {
    const file = await newFile({ [LARGE_TENSOR]: 0.5 });
    await begin(file);
    await part(file, 0, 1000);
    for (const [from, to] of [
      [0, 10],
      [1001, 1010],
    ] as const) {
      const { status, error } = await part(file, from, to);
      assert.equal(status, 409);
      assert.equal(error?.code, 'STATE');
      assert.equal(error?.details.received, 1000);
    }
    const longer = await call('PUT', `/uploads/${file.id}/parts/1000`, new Uint8Array(dataBytes(file) - 999));
    assert.equal(longer.error?.code, 'STATE');
    assert.equal((await part(file, 1000, dataBytes(file))).status, 202);
  });

  it('goes on after a broken line, and after restarts', async () => {
    const file = await newFile({ [LARGE_TENSOR]: 0.625, [SMALL_TENSOR]: 0.625 });
    await begin(file);
    await part(file, 0, 999);
    const { hostname, port } = new URL(pool.url);
    const cut = request({
      ...{ hostname, port, path: `/uploads/${file.id}/parts/999`, method: 'PUT' },
      headers: { 'content-length': 10_000 },
    });
    cut.on('error', () => undefined);
    const { length } = file.header;
    cut.write(file.bytes.slice(length + 999, length + 5_000));
    await new Promise((resolve) => setTimeout(resolve, 100));
    cut.destroy();
    await until('the bytes before the break count', async () => {
      return (await call('GET', `/uploads/${file.id}`)).view?.received === 5_000;
    });
    await pool.restart();
    assert.equal((await call('GET', `/uploads/${file.id}`)).view?.received, 5_000);
    assert.equal((await part(file, 5_000, 6_001)).view?.received, 6_001);
    await pool.restart();
    assert.equal((await begin(file)).view?.received, 6_001);
    assert.equal((await part(file, 6_001, dataBytes(file))).status, 202);
    assert.equal((await pool.submission(file.id)).state, 'queued');
  });

  it('a client that comes again is listened to, not the line that hangs', async () => {
    const file = await newFile({ [LARGE_TENSOR]: 0.6875 });
    await begin(file);
    const { hostname, port } = new URL(pool.url);
    const hanging = request({
      ...{ hostname, port, path: `/uploads/${file.id}/parts/0`, method: 'PUT' },
      headers: { 'content-length': dataBytes(file) },
    });
    hanging.on('error', () => undefined);
    const answered = new Promise<number>((resolve) =>
      hanging.on('response', (response) => resolve(response.statusCode ?? 0)),
    );
    hanging.write(file.bytes.slice(file.header.length, file.header.length + 3_000));
    await new Promise((resolve) => setTimeout(resolve, 100));
    const other = await part(file, 0, dataBytes(file));
    assert.equal(other.error?.code, 'STATE');
    assert.equal(await answered, 409);
    const received = other.error?.details.received as number;
    assert.equal(received, 3_000);
    assert.equal((await part(file, received, dataBytes(file))).status, 202);
    hanging.destroy();
  });

  it('refuses bytes that are not what was signed, and forgets the upload', async () => {
    const file = await newFile({ [SMALL_TENSOR]: 0.75 });
    await begin(file);
    const flipped = file.bytes.slice(file.header.length);
    flipped[1]! ^= 1;
    const { error } = await call('PUT', `/uploads/${file.id}/parts/0`, flipped);
    assert.equal(error?.code, 'WEIGHTS_HASH');
    assert.equal((await call('GET', `/uploads/${file.id}`)).error?.code, 'NOT_FOUND');
    assert.equal((await part(file, 0, 8)).error?.code, 'NOT_FOUND');
    assert.ok(!(await spool()).some((name) => name.includes(file.id)));
    const spoilt = await newFile({ [SMALL_TENSOR]: Number.NaN });
    await begin(spoilt);
    assert.equal((await part(spoilt, 0, dataBytes(spoilt))).error?.code, 'WEIGHTS_NOT_FINITE');
  });

  it('refuses from the header alone, as an upload in one piece is', async () => {
    const file = await newFile({ [SMALL_TENSOR]: 0.8125 });
    assert.equal((await call('POST', '/uploads', file.bytes)).error?.code, 'BAD_REQUEST');
    assert.equal((await call('POST', '/uploads', file.header.slice(0, 90))).error?.code, 'WEIGHTS_TRUNCATED');
    const elsewhere = fileOf(await pool.model(), {
      key: newKeyPair(),
      tensors: { [SMALL_TENSOR]: 0.8125 },
      base: '0'.repeat(64),
    });
    assert.equal((await begin(elsewhere)).error?.code, 'SUBMISSION_BASE');
    for (const path of ['/uploads/xyz', `/uploads/${file.id}/parts/-1`, `/uploads/${file.id}/parts/1e3`])
      assert.equal(
        (await call(path.includes('parts') ? 'PUT' : 'GET', path)).error?.code,
        'BAD_REQUEST',
        path,
      );
  });

  it('two tensors of one submission may have the same bytes', async () => {
    const equal = ['transformer.h.0.ln_1.bias', 'transformer.h.0.ln_2.bias'];
    const file = await newFile(Object.fromEntries(equal.map((name) => [name, 0.875])));
    await begin(file);
    await part(file, 0, dataBytes(file) - 4);
    await pool.restart();
    const { received } = (await begin(file)).view as UploadView;
    assert.equal(received, dataBytes(file) / 2, 'what was only checked is checked again');
    assert.equal((await part(file, received, dataBytes(file))).status, 202);
    const worker = await pool.attach();
    const view = await pool.reaches(file.id, 'paid', 'rejected');
    assert.equal(view.state, 'paid', JSON.stringify(view.error));
    await worker.close();
  });

  it('TOO_MANY_REQUESTS: uploads of one key, and of one address', async () => {
    const key = newKeyPair();
    const ofKey = [];
    for (let i = 0; i <= INTAKE_DEFAULTS.maxPartsPerMiner; i++)
      ofKey.push(await begin(await newFile({ [SMALL_TENSOR]: 3 + i }, key)));
    assert.equal(ofKey.at(-1)?.error?.code, 'TOO_MANY_REQUESTS');
    assert.ok(Number(ofKey.at(-1)?.headers.get('retry-after')) > 0);
    const ofAddress = [];
    for (let i = 0; i < INTAKE_DEFAULTS.maxPartsPerAddress; i++)
      ofAddress.push(await begin(await newFile({ [SMALL_TENSOR]: 30 + i })));
    assert.equal(ofAddress.at(-1)?.error?.code, 'TOO_MANY_REQUESTS');
    assert.match(ofAddress.at(-1)?.error?.message ?? '', /this address/);
  });

  it('an upload of which nothing is heard is forgotten, and leftovers go at the start', async () => {
    assert.ok((await spool()).some((name) => name.startsWith('parts-')));
    await pool.restart({ intake: { ...INTAKE_DEFAULTS, partsExpireMs: 1 } });
    assert.ok(!(await spool()).some((name) => name.startsWith('parts-')));
    assert.ok(existsSync(join(pool.dataDir, 'spool')));
  });
});

describe('claims', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  before(async () => {
    pool = await TestCoordinator.start();
  });
  after(() => pool.destroy());

  const salt = new Uint8Array(32).fill(7);
  const claim = async (file: TestFile) => {
    const { network } = await pool.model();
    const hash = claimOf(fromHex(network, 32), fromHex(file.id, 32), salt);
    const response = await fetch(new URL('/claims', pool.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ claim: toHex(hash) }),
    });
    return { status: response.status, view: claimSchema.parse(await response.json()) };
  };
  /** The same weights under two keys, of which one has claimed them. */
  const pair = async (value: number) => {
    const model = await pool.model();
    const tensors = { [SMALL_TENSOR]: value };
    const own = fileOf(model, { key: newKeyPair(), tensors, salt });
    return { own, copy: fileOf(model, { key: newKeyPair(), tensors }) };
  };

  it('PAYLOAD_KNOWN: what waits for its verdict under another key, and what is on its way in', async () => {
    const { own, copy } = await pair(0.5);
    assert.equal((await post(pool.url, copy)).status, 202);
    assert.equal((await post(pool.url, own)).code, 'PAYLOAD_KNOWN');
    const other = await pair(0.5625);
    const begun = await fetch(new URL('/uploads', pool.url), {
      method: 'POST',
      body: other.copy.header as Uint8Array<ArrayBuffer>,
    });
    assert.equal(begun.status, 201);
    assert.equal((await post(pool.url, other.own)).code, 'PAYLOAD_KNOWN');
  });

  it('the earlier claim wins, also over a restart, and a claim for other weights is none', async () => {
    const { own, copy } = await pair(0.625);
    const first = await claim(own);
    assert.equal(first.status, 201);
    assert.deepEqual(await claim(own), { ...first, status: 200 });
    await pool.restart();
    assert.equal((await post(pool.url, copy)).status, 202);
    assert.equal((await post(pool.url, own)).status, 202);
    const { state, error } = await pool.submission(copy.id);
    assert.equal(state, 'rejected');
    assert.equal(error?.code, 'PAYLOAD_KNOWN');
    assert.equal((await pool.submission(own.id)).state, 'queued');
    const late = await pair(0.6875);
    assert.equal((await post(pool.url, late.copy)).status, 202);
    await claim(late.own);
    assert.equal((await post(pool.url, late.own)).code, 'PAYLOAD_KNOWN');
  });
});

describe('uploads of bad manners', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  before(async () => {
    pool = await TestCoordinator.start({
      http: { ...HTTP_DEFAULTS, graceMs: 300, maxIdleMs: 600, maxJsonMs: 300, maxUploadsPerAddress: 2 },
    });
  });
  after(() => pool.destroy());

  /** Sends the start of a body and then a byte now and then. */
  const trickle = async (
    method: string,
    path: string,
    { start, total, headers = {} }: { start: Uint8Array; total: number; headers?: Record<string, string> },
  ) => {
    const { hostname, port } = new URL(pool.url);
    const slow = request({
      ...{ hostname, port, path, method },
      headers: { ...headers, 'content-length': total },
    });
    slow.on('error', () => undefined);
    slow.write(start);
    const timer = setInterval(() => slow.write(new Uint8Array(1)), 100);
    const text = await new Promise<string>((resolve) =>
      slow.on('response', async (response) => resolve(Buffer.concat(await response.toArray()).toString())),
    );
    clearInterval(timer);
    slow.destroy();
    return errorBodySchema.parse(JSON.parse(text)).error.code;
  };

  it('TIMEOUT: JSON that does not end; BAD_REQUEST: JSON that is no claim', async () => {
    const start = Buffer.from('{"claim":"');
    const json = { 'content-type': 'application/json' };
    assert.equal(await trickle('POST', '/claims', { start, total: 1_000, headers: json }), 'TIMEOUT');
    const long = JSON.stringify({ claim: '0'.repeat(2_000) });
    for (const [body, code, headers] of [
      ['"bare"', 'BAD_REQUEST', json],
      ['['.repeat(1_000), 'BAD_REQUEST', json],
      [`{"claim":"${'0'.repeat(64)}","__proto__":{}}`, 'BAD_REQUEST', json],
      [`{"claim":"${'A'.repeat(64)}"}`, 'BAD_REQUEST', json],
      [long, 'TOO_LARGE', json],
      ['{}', 'UNSUPPORTED_MEDIA_TYPE', {}],
    ] as const) {
      const response = await fetch(new URL('/claims', pool.url), { method: 'POST', headers, body });
      assert.equal(errorBodySchema.parse(await response.json()).error.code, code, body.slice(0, 40));
    }
  });

  it('TOO_MANY_REQUESTS: more bodies at once than one address may send', async () => {
    const file = fileOf(await pool.model(), { key: newKeyPair(), tensors: { [LARGE_TENSOR]: 0.75 } });
    const { hostname, port } = new URL(pool.url);
    const hanging = [1, 2].map(() => {
      const headers = { 'content-length': file.bytes.length };
      const slow = request({ ...{ hostname, port, path: '/mine', method: 'POST' }, headers });
      slow.on('error', () => undefined).write(file.bytes.slice(0, 4));
      return slow;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal((await post(pool.url, file)).code, 'TOO_MANY_REQUESTS');
    for (const slow of hanging) slow.destroy();
    await until('there is room again', async () => (await post(pool.url, file)).status < 300);
  });

  it('TIMEOUT: a body that trickles; of one in one piece nothing stays, of a part its bytes', async () => {
    const file = fileOf(await pool.model(), { key: newKeyPair(), tensors: { [LARGE_TENSOR]: 0.5 } });
    const { length } = file.header;
    const start = file.bytes.slice(0, length + 500);
    assert.equal(await trickle('POST', '/upload_parameters', { start, total: file.bytes.length }), 'TIMEOUT');
    assert.equal(
      await trickle('POST', '/mine', { start: start.slice(0, 5), total: file.bytes.length }),
      'TIMEOUT',
    );
    await until('nothing of them is left', async () =>
      (await readdir(join(pool.dataDir, 'spool'))).every((name) => /^[0-9a-f]{64}$/.test(name)),
    );
    const body = file.header as Uint8Array<ArrayBuffer>;
    assert.equal((await fetch(new URL('/uploads', pool.url), { method: 'POST', body })).status, 201);
    const part = start.slice(length);
    const path = `/uploads/${file.id}/parts/0`;
    assert.equal(await trickle('PUT', path, { start: part, total: file.bytes.length - length }), 'TIMEOUT');
    const view = uploadSchema.parse((await pool.get(`/uploads/${file.id}`)).body);
    assert.ok(view.received >= 500 && view.received < 600, `${view.received} bytes`);
  });
});

describe('an upload and a coordinator that is killed', { skip: skipWithout('redis-server') }, () => {
  it('goes on from the last byte that was acknowledged, or behind it', async () => {
    const dataDir = await tempDir();
    await makeChain(dataDir, smallContent({ vocabulary: 20_000, width: 64 }));
    const start = async () => {
      const child = ChildHandle.aiblock('coordinator', ['coordinator', '--data-dir', dataDir, '--port', '0']);
      const line = await child.line((text) => text.startsWith('{"url":') && text);
      return { child, url: (JSON.parse(line) as { url: string }).url };
    };
    const put = async (url: string, file: TestFile, from: number, to?: number) => {
      const { length } = file.header;
      const body = file.bytes.slice(length + from, to && length + to) as Uint8Array<ArrayBuffer>;
      return fetch(new URL(`/uploads/${file.id}/parts/${from}`, url), { method: 'PUT', body });
    };
    let { child, url } = await start();
    try {
      const model = modelSchema.parse(await (await fetch(new URL('/model', url))).json());
      const file = fileOf(model, {
        key: newKeyPair(),
        tensors: { [LARGE_TENSOR]: 0.5, [SMALL_TENSOR]: 1.5 },
      });
      const body = file.header as Uint8Array<ArrayBuffer>;
      await fetch(new URL('/uploads', url), { method: 'POST', body });
      await put(url, file, 0, 1_500_001);
      const whole = put(url, file, 1_500_001).catch(() => undefined);
      child.kill('SIGKILL');
      await Promise.all([child.ended, whole]);
      ({ child, url } = await start());
      const answer = await fetch(new URL('/uploads', url), { method: 'POST', body });
      const text = await answer.text();
      assert.ok(answer.ok, text);
      const { received, bytes } = uploadSchema.parse(JSON.parse(text));
      assert.ok(received >= 1_500_001, `${received} bytes`);
      if (received < bytes) assert.equal((await put(url, file, received)).status, 202);
    } finally {
      await child.stop();
    }
  });
});

describe('limits per address', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  before(async () => {
    pool = await TestCoordinator.start({
      http: { ...HTTP_DEFAULTS, writesAtOnce: 3, writesPerSecond: 0.1, trustProxy: '1' },
    });
  });
  after(() => pool.destroy());

  const codeOf = async (headers: Record<string, string>) => {
    const response = await fetch(new URL('/upload_parameters', pool.url), {
      method: 'POST',
      headers,
      body: 'abc',
    });
    const { code } = errorBodySchema.parse(await response.json()).error;
    return `${code} ${response.headers.get('retry-after') ?? ''}`.trim();
  };

  it('TOO_MANY_REQUESTS with the time to wait; others are served, as the proxy names them', async () => {
    for (const address of ['192.0.2.1', '2001:db8::1']) {
      for (let i = 0; i < 3; i++)
        assert.equal(await codeOf({ 'x-forwarded-for': address }), 'WEIGHTS_TRUNCATED');
      assert.equal(await codeOf({ 'x-forwarded-for': address }), 'TOO_MANY_REQUESTS 10');
    }
    assert.equal(await codeOf({ 'x-forwarded-for': '2001:db8::2' }), 'TOO_MANY_REQUESTS 10');
    assert.equal(await codeOf({ 'x-forwarded-for': '2001:db8:1::1' }), 'WEIGHTS_TRUNCATED');
    assert.equal(await codeOf({ 'x-forwarded-for': '192.0.2.1, 192.0.2.9' }), 'WEIGHTS_TRUNCATED');
    assert.equal((await pool.get('/model')).status, 200);
  });
});
