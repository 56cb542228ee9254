import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import type { z } from 'zod';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { balanceSchema } from '#shared/api/account-schemas.ts';
import { errorBodySchema } from '#shared/api/common-schemas.ts';
import {
  blockSchema,
  modelSchema,
  overviewSchema,
  readinessSchema,
  submissionSchema,
} from '#shared/api/schemas.ts';
import { enrolmentSchema } from '#shared/api/worker-schemas.ts';
import { ERRORS, type ErrorCode } from '#shared/errors/catalogue.ts';
import { fileOf, post, SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';

const ZERO = '0'.repeat(64);

describe('the HTTP API', { skip: skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  before(async () => {
    pool = await TestCoordinator.start();
  });
  after(() => pool.destroy());

  /** The one error shape, the status of the code, and nothing of our insides. */
  const refused = async (code: ErrorCode, path: string, init: RequestInit = {}) => {
    const response = await fetch(new URL(path, pool.url), init);
    const text = await response.text();
    const { error } = errorBodySchema.parse(JSON.parse(text));
    assert.equal(error.code, code, `${path}: ${text}`);
    assert.equal(response.status, ERRORS[code][0], path);
    assert.doesNotMatch(text, /node_modules|\.ts:\d|at \w+ \(/);
    return response;
  };
  const json = (body: string) => ({
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });

  it('answers every reading route in the form of its schema', async () => {
    const worker = await pool.attach();
    const key = newKeyPair();
    const file = fileOf(await pool.model(), { key, tensors: { [SMALL_TENSOR]: 0.5 } });
    await post(pool.url, file, '/mine');
    await pool.reaches(file.id, 'paid');
    const model = await pool.model();
    const schemas: [string, z.ZodType][] = [
      ['/overview', overviewSchema],
      ['/model', modelSchema],
      [`/submissions/${file.id}`, submissionSchema],
      ['/chain/A/block/0', blockSchema],
      ['/chain/B/block/0', blockSchema],
      [`/chain/B/block/${model.head.index}`, blockSchema],
      [`/balance/${(await pool.submission(file.id)).miner}`, balanceSchema],
      ['/readyz', readinessSchema],
      [`/enrolment?key=${'02'.repeat(33)}`, enrolmentSchema],
    ];
    for (const [path, schema] of schemas) {
      const { status, body } = await pool.get(path);
      assert.equal(status, 200, path);
      schema.parse(body);
    }
    const { submissions } = (await pool.get('/submissions?state=paid&limit=1')).body as {
      submissions: unknown[];
    };
    assert.equal(submissionSchema.parse(submissions[0]).id, file.id);
    const { blocks } = (await pool.get('/chain/B/blocks?from=3&limit=2')).body as { blocks: unknown[] };
    assert.deepEqual(
      blocks.map((block) => blockSchema.parse(block).index),
      [3, 4],
    );
    assert.deepEqual((await pool.get('/healthz')).body, { ok: true });
    const metrics = await (await fetch(new URL('/metrics', pool.url))).text();
    assert.match(metrics, /aiblock_chain_height\{chain="B"\} 16/);
    await worker.close();
  });

  it('serves a payload whole and in ranges', async () => {
    const [tensor] = (await pool.model()).tensors;
    assert.ok(tensor);
    const url = new URL(`/payload/${tensor.hash}`, pool.url);
    const whole = new Uint8Array(await (await fetch(url)).arrayBuffer());
    const part = await fetch(url, { headers: { range: 'bytes=4-7' } });
    assert.equal(part.status, 206);
    assert.equal(part.headers.get('content-range'), `bytes 4-7/${whole.length}`);
    assert.deepEqual(new Uint8Array(await part.arrayBuffer()), whole.slice(4, 8));
    const tail = await fetch(url, { headers: { range: 'bytes=-3' } });
    assert.deepEqual(new Uint8Array(await tail.arrayBuffer()), whole.slice(-3));
    await refused('RANGE_NOT_SATISFIABLE', url.pathname, {
      headers: { range: `bytes=${whole.length}-` },
    });
    await refused('NOT_FOUND', `/payload/${ZERO}`);
    await refused('BAD_REQUEST', `/payload/${tensor.hash.toUpperCase()}`);
  });

  it('refuses what it does not understand, with a code and in one form', async () => {
    await refused('NOT_FOUND', '/nothing-here');
    await refused('NOT_FOUND', `/submissions/${ZERO}`);
    await refused('BAD_REQUEST', '/submissions/xyz');
    await refused('BAD_REQUEST', '/submissions?limit=0');
    await refused('BAD_REQUEST', '/submissions?limit=1e1');
    await refused('BAD_REQUEST', '/submissions?limit=5&limit=6');
    await refused('BAD_REQUEST', '/submissions?state=nowhere');
    await refused('BAD_REQUEST', '/submissions?colour=red');
    await refused('BAD_REQUEST', '/submissions?__proto__=1');
    await refused('NOT_FOUND', '/chain/C/blocks');
    await refused('NOT_FOUND', '/chain/B/block/999');
    await refused('BAD_REQUEST', '/chain/B/block/-1');
    await refused('ADDRESS', '/balance/0x1234');
    const other = await refused('METHOD_NOT_ALLOWED', '/model', { method: 'POST' });
    assert.equal(other.headers.get('allow'), 'GET, HEAD');
    await refused('METHOD_NOT_ALLOWED', '/chat');
    await refused('UNSUPPORTED_MEDIA_TYPE', '/chat', { method: 'POST', body: 'hello' });
    await refused('BAD_REQUEST', '/chat', json('{"prompt":'));
    await refused('BAD_REQUEST', '/chat', json('"hello"'));
    await refused('BAD_REQUEST', '/chat', json('{"prompt":"a","more":1}'));
    await refused('BAD_REQUEST', '/chat', json('{"prompt":"a","__proto__":{"max_tokens":9}}'));
    await refused('BAD_REQUEST', '/chat', json('['.repeat(50_000)));
    await refused('TOO_LARGE', '/chat', json(JSON.stringify({ prompt: 'a'.repeat(200_000) })));
    const nobody = await refused('NO_WORKER', '/chat', json('{"prompt":"a"}'));
    assert.ok(Number(nobody.headers.get('retry-after')) > 0);
  });

  it('refuses an upload from its header, and one whose bytes are not what was signed', async () => {
    const model = await pool.model();
    const key = newKeyPair();
    const good = fileOf(model, { key, tensors: { [SMALL_TENSOR]: 0.625 } });
    const send = async (bytes: Uint8Array, path?: string) => (await post(pool.url, { bytes }, path)).code;
    assert.equal(await send(good.bytes.slice(0, 5)), 'WEIGHTS_TRUNCATED');
    assert.equal(await send(new Uint8Array(64).fill(255)), 'WEIGHTS_HEADER');
    assert.equal(await send(good.bytes.slice(0, -1)), 'WEIGHTS_HEADER');
    assert.equal(
      await send(fileOf(model, { key, tensors: { [SMALL_TENSOR]: Number.NaN } }).bytes),
      'WEIGHTS_NOT_FINITE',
    );
    const flipped = good.bytes.slice();
    flipped[flipped.length - 2] = (flipped[flipped.length - 2] as number) ^ 1;
    assert.equal(await send(flipped), 'WEIGHTS_HASH');
    const two = { [SMALL_TENSOR]: 0.5, 'transformer.ln_f.weight': 0.5 };
    assert.equal(await send(fileOf(model, { key, tensors: two }).bytes, '/mine'), 'WEIGHTS_NAMES');
    const elsewhere = fileOf(model, { key, tensors: { [SMALL_TENSOR]: 0.625 }, base: ZERO });
    assert.equal(await send(elsewhere.bytes), 'SUBMISSION_BASE');
    const otherMeta = fileOf(model, { key, tensors: { [SMALL_TENSOR]: 0.625 }, meta: ZERO });
    assert.equal(await send(otherMeta.bytes), 'SUBMISSION_META');
    await refused('UNSUPPORTED_MEDIA_TYPE', '/upload_parameters', {
      method: 'POST',
      headers: { 'content-encoding': 'gzip' },
      body: good.bytes as Uint8Array<ArrayBuffer>,
    });
    const all = (await pool.get('/submissions')).body as { submissions: unknown[] };
    assert.equal(all.submissions.length, 1, 'nothing of the refused ones stays');
  });

  it('takes an upload that was cut off before, and the same content twice at once only once', async () => {
    const file = fileOf(await pool.model(), { key: newKeyPair(), tensors: { [SMALL_TENSOR]: 0.875 } });
    const { hostname, port } = new URL(pool.url);
    const headers = { 'content-length': file.bytes.length };
    const cut = request({ hostname, port, path: '/upload_parameters', method: 'POST', headers });
    cut.on('error', () => undefined);
    cut.write(file.bytes.slice(0, -8));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const waiting = post(pool.url, file);
    cut.destroy();
    const answers = await Promise.all([waiting, post(pool.url, file), post(pool.url, file)]);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 202]);
    assert.equal((await pool.submission(file.id)).state, 'queued');
  });

  it('limits what one key may have waiting', async () => {
    const model = await pool.model();
    const key = newKeyPair();
    const codes = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        const tensors = { [SMALL_TENSOR]: 2 + i };
        return (await post(pool.url, fileOf(model, { key, tensors }))).code;
      }),
    );
    assert.equal(codes.filter((code) => code === 'TOO_MANY_REQUESTS').length, 2);
    assert.equal(codes.filter((code) => code === undefined).length, 8);
  });
});
