import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { errorBodySchema } from '#shared/api/common-schemas.ts';
import { ERRORS, type ErrorCode } from '#shared/errors/catalogue.ts';
import { safetensorsHeader } from '#shared/weights/safetensors.ts';
import {
  type Answer,
  frequencyBiases,
  headOf,
  LAST_BIAS,
  newKey,
  signedFile,
  signedPart,
  submitFile,
  submitGood,
  type Weights,
} from '#test/helpers/candidate.ts';
import { entriesOf, readJournal } from '#test/helpers/journal.ts';
import { type Pool, startPool } from '#test/helpers/pool.ts';
import { roughPost } from '#test/helpers/rough-http.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';
import type { Head } from '#worker/train/miner-head.ts';

const MIB = 1024 * 1024;
const MAX_RSS_BYTES = 300 * MIB;
const FLOOD_BYTES = 96 * MIB;

describe('bad weights are refused', { skip: skipWithout('redis-server') }, () => {
  let pool: Pool;
  let head: Head;
  const key = newKey();
  const noise: Weights = new Map([[LAST_BIAS, new Float32Array(128).fill(0.25)]]);

  before(async () => {
    pool = await startPool();
    head = await headOf(pool.url);
  });

  function refused(answer: Answer | undefined, code: ErrorCode): void {
    const { error } = errorBodySchema.parse(answer?.body);
    assert.equal(error.code, code, error.message);
    assert.equal(answer?.status, ERRORS[code][0]);
  }

  /** The next answers count as well: nothing is left behind that could hinder them. */
  async function nothingLeft(): Promise<void> {
    await until('the spool is empty', async () => (await readdir(join(pool.dataDir, 'spool'))).length === 0);
  }

  async function rssBytes(): Promise<number> {
    const status = await readFile(`/proc/${pool.coordinator.pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
  }

  const withView = (change: Partial<Head['view']>): Head => ({ ...head, view: { ...head.view, ...change } });
  const header = (length: string) => ['content-type: application/octet-stream', length];

  it('WEIGHTS_UNCHANGED', async () => {
    refused(await submitFile(pool.url, (await signedFile(head, new Map(), key)).bytes), 'WEIGHTS_UNCHANGED');
  });

  it('WEIGHTS_NOT_FINITE', async () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const weights = new Map([[LAST_BIAS, new Float32Array(128).fill(value, 100, 101)]]);
      refused(await submitFile(pool.url, (await signedPart(head, weights, key)).bytes), 'WEIGHTS_NOT_FINITE');
    }
    await nothingLeft();
  });

  it('WEIGHTS_SHAPE', async () => {
    const refs = [{ name: LAST_BIAS, dtype: 'F32' as const, shape: [64], hash: '' }];
    const weights = new Map([[LAST_BIAS, new Float32Array(64)]]);
    refused(
      await submitFile(pool.url, (await signedPart({ ...head, refs }, weights, key)).bytes),
      'WEIGHTS_SHAPE',
    );
  });

  it('WEIGHTS_NAMES: a tensor that the model has not, and two where one is expected', async () => {
    const refs = [{ name: '__proto__', dtype: 'F32' as const, shape: [128], hash: '' }];
    const weights = new Map([['__proto__', new Float32Array(128)]]);
    refused(
      await submitFile(pool.url, (await signedPart({ ...head, refs }, weights, key)).bytes),
      'WEIGHTS_NAMES',
    );
    const whole = (await signedFile(head, noise, key)).bytes;
    refused(await submitFile(pool.url, whole, 'mine'), 'WEIGHTS_NAMES');
  });

  it('WEIGHTS_DTYPE', async () => {
    const refs = [{ name: LAST_BIAS, dtype: 'BF16' as const, shape: [128], hash: '' }];
    refused(
      await submitFile(pool.url, (await signedPart({ ...head, refs }, noise, key)).bytes),
      'WEIGHTS_DTYPE',
    );
  });

  it('BAD_REQUEST: no signed manifest', async () => {
    const file = safetensorsHeader([{ name: LAST_BIAS, dtype: 'F32', shape: [128] }], { format: 'pt' });
    refused(await submitFile(pool.url, Buffer.concat([file.header, new Uint8Array(512)])), 'BAD_REQUEST');
  });

  it('SIGNATURE: a wrong one, and one for another network', async () => {
    const elsewhere = await signedPart(withView({ network: 'ab'.repeat(32) }), noise, key);
    refused(await submitFile(pool.url, elsewhere.bytes), 'SIGNATURE');
    const { bytes } = await signedPart(head, noise, key);
    const text = Buffer.from(bytes).toString('latin1');
    const at = text.lastIndexOf('signature') + 'signature'.length + 10;
    const forged = Buffer.from(bytes);
    const digit = forged.indexOf(forged[at] as number, at);
    forged[digit] = forged[digit] === 0x30 ? 0x31 : 0x30;
    refused(await submitFile(pool.url, forged), 'SIGNATURE');
  });

  it('SUBMISSION_META and SUBMISSION_BASE', async () => {
    const meta = withView({ meta: { ...head.view.meta, hash: 'cd'.repeat(32) } });
    refused(await submitFile(pool.url, (await signedPart(meta, noise, key)).bytes), 'SUBMISSION_META');
    const base = withView({ root: 'ef'.repeat(32) });
    refused(await submitFile(pool.url, (await signedPart(base, noise, key)).bytes), 'SUBMISSION_BASE');
  });

  it('WEIGHTS_HASH: other bytes than signed', async () => {
    const { bytes } = await signedPart(head, noise, key);
    bytes[bytes.length - 2]! ^= 1;
    refused(await submitFile(pool.url, bytes), 'WEIGHTS_HASH');
    await nothingLeft();
  });

  it('WEIGHTS_TRUNCATED: ends early, in order or not', async () => {
    const { bytes } = await signedFile(head, noise, key);
    const most = bytes.subarray(0, Math.floor(bytes.length * 0.99));
    const chunks = [Buffer.from(`${most.length.toString(16)}\r\n`), most, Buffer.from('\r\n0\r\n\r\n')];
    refused(
      await roughPost(`${pool.url}/upload_parameters`, header('transfer-encoding: chunked'), chunks),
      'WEIGHTS_TRUNCATED',
    );
    await nothingLeft();
    const gone = new AbortController();
    const body = new ReadableStream({
      pull: (controller) => {
        controller.enqueue(most);
        setTimeout(() => gone.abort(), 200);
        return new Promise(() => {});
      },
    });
    const broken = fetch(new URL('/upload_parameters', pool.url), {
      method: 'POST',
      headers: { 'content-length': String(bytes.length) },
      body,
      duplex: 'half',
      signal: gone.signal,
    });
    await assert.rejects(broken);
    await nothingLeft();
  });

  it('WEIGHTS_HEADER: bytes behind the last tensor, a Content-Length that lies, no header at all', async () => {
    const { bytes } = await signedPart(head, noise, key);
    const longer = Buffer.concat([bytes, Buffer.from('more')]);
    refused(await submitFile(pool.url, longer), 'WEIGHTS_HEADER');
    const chunks = [Buffer.from(`${longer.length.toString(16)}\r\n`), longer, Buffer.from('\r\n0\r\n\r\n')];
    const path = `${pool.url}/upload_parameters`;
    refused(await roughPost(path, header('transfer-encoding: chunked'), chunks), 'WEIGHTS_HEADER');
    await nothingLeft();
    for (const length of [bytes.length - 100, bytes.length + 100])
      refused(await roughPost(path, header(`content-length: ${length}`), [bytes]), 'WEIGHTS_HEADER');
    refused(await submitFile(pool.url, Buffer.alloc(100, 0xff)), 'WEIGHTS_HEADER');
    await nothingLeft();
  });

  it('UNSUPPORTED_MEDIA_TYPE: a compressed body', async () => {
    const { bytes } = await signedPart(head, noise, key);
    const packed = gzipSync(bytes);
    const headers = [...header(`content-length: ${packed.length}`), 'content-encoding: gzip'];
    refused(await roughPost(`${pool.url}/upload_parameters`, headers, [packed]), 'UNSUPPORTED_MEDIA_TYPE');
  });

  it('refuses a flood from its header alone, in little memory', async () => {
    const refs = [{ name: 'flood', dtype: 'F32' as const, shape: [FLOOD_BYTES / 4] }];
    const file = safetensorsHeader(refs);
    function* flood() {
      yield file.header;
      const piece = new Uint8Array(MIB);
      for (let at = 0; at < FLOOD_BYTES; at += MIB) yield piece;
    }
    const answer = await roughPost(
      `${pool.url}/upload_parameters`,
      header(`content-length: ${file.totalBytes}`),
      flood(),
    );
    // A client that only sends may lose the connection before it reads the answer.
    if (answer) refused(answer, 'WEIGHTS_NAMES');
    await nothingLeft();
    const health = await fetch(new URL('/healthz', pool.url));
    assert.equal(health.status, 200);
    const most = await rssBytes().catch(() => 0);
    assert.ok(most < MAX_RSS_BYTES, `the coordinator took ${most} bytes`);
  });

  it('GATE_NOT_BETTER and LOSS_NOT_FINITE, by evaluation; twice at once is one submission', async () => {
    const { bytes, id } = await signedPart(head, noise, key);
    const twice = await Promise.all([submitFile(pool.url, bytes), submitFile(pool.url, bytes)]);
    assert.deepEqual(twice.map(({ status }) => status).sort(), [200, 202]);
    const endless = new Map([[LAST_BIAS, new Float32Array(128).fill(3e38)]]);
    const infinite = await signedPart(head, endless, newKey());
    await submitGood(pool.url, infinite.bytes, 'mine');

    const worse = await pool.settled(id);
    assert.equal(worse.error?.code, 'GATE_NOT_BETTER', JSON.stringify(worse));
    assert.ok((worse.verdict?.gain_nats ?? 1) < 0);
    assert.equal((await pool.settled(infinite.id)).error?.code, 'LOSS_NOT_FINITE');
    const again = await submitFile(pool.url, bytes);
    assert.equal(again.status, 200);
    // The differences window by window, and what it waits for, stand in the whole story alone.
    const { waiting, ...story } = worse;
    assert.equal(waiting, null);
    const { differences, ...verdict } = worse.verdict ?? {};
    assert.equal(differences?.length, worse.verdict?.windows);
    assert.deepEqual(again.body, { ...story, verdict });
    await nothingLeft();
  });

  it('PAYLOAD_KNOWN: a copy under another key earns nothing, at once or later', async () => {
    const [half, full] = frequencyBiases(head, 2) as [Float32Array, Float32Array];
    const better: Weights = new Map([[LAST_BIAS, half]]);
    const original = await signedPart(head, better, key);
    const copy = await signedPart(head, better, newKey());
    await submitGood(pool.url, original.bytes);
    refused(await submitFile(pool.url, copy.bytes), 'PAYLOAD_KNOWN');
    assert.equal((await pool.settled(original.id)).state, 'paid');

    refused(
      await submitFile(pool.url, (await signedPart(head, better, newKey())).bytes),
      'WEIGHTS_UNCHANGED',
    );
    const next = await signedPart(head, new Map([[LAST_BIAS, full]]), newKey());
    await submitGood(pool.url, next.bytes);
    assert.equal((await pool.settled(next.id)).state, 'paid');
    refused(await submitFile(pool.url, (await signedPart(head, better, newKey())).bytes), 'PAYLOAD_KNOWN');

    const { entries } = await readJournal(pool);
    assert.equal(entriesOf(entries, copy.id).length, 0);
    assert.ok(entriesOf(entries, original.id).length > 0);
    await nothingLeft();
  });
});
