import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import type { SubmissionView, UploadView } from '#shared/api/schemas.ts';
import { collectBytes, concatBytes } from '#shared/crypto/bytes.ts';
import type { ErrorCode } from '#shared/errors/catalogue.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import type { UploadPart } from '#worker/client/api-client.ts';
import { BegunUploads } from '#worker/submit/begun-uploads.ts';
import { sendParts } from '#worker/submit/send-parts.ts';
import { signFile } from '#worker/submit/sign-file.ts';

const dir = await tempDir();
const ROOT = 'ab'.repeat(32);
const base = { root: ROOT, meta: 'cd'.repeat(32), network: 'ef'.repeat(32), salt: '12'.repeat(32) };
const submission = { id: ROOT } as SubmissionView;

/** Two tensors in one file, with other bytes around them. */
async function signed() {
  const path = join(dir, 'weights');
  const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
  await writeFile(path, bytes);
  const tensors = (
    [
      ['a', 8, 48],
      ['b', 60, 100],
    ] as const
  ).map(([name, start, end]) => ({
    ...{ name, dtype: 'F32' as const, shape: [(end - start) / 4], path, start, end },
    hash: createHash('sha256').update(bytes.subarray(start, end)).digest('hex'),
  }));
  const data = concatBytes(...tensors.map(({ start, end }) => bytes.subarray(start, end)));
  return { file: signFile(tensors, base, newKeyPair()), data };
}

/** A pool whose line breaks after so many bytes of each part, until it has all. */
class BreakingPool {
  readonly #bytes: number;
  readonly #piece: number;
  readonly errors: (PoolError | undefined)[];
  received = new Uint8Array(0);

  constructor(bytes: number, piece: number, errors: (PoolError | undefined)[] = []) {
    this.#bytes = bytes;
    this.#piece = piece;
    this.errors = errors;
  }

  beginUpload = async (): Promise<UploadView> => {
    const error = this.errors.shift();
    if (error) throw error;
    return this.#view();
  };

  sendPart = async ({ offset, body, bytes }: UploadPart): Promise<UploadView> => {
    assert.equal(offset, this.received.length);
    const part = await collectBytes(body);
    assert.equal(part.length, bytes);
    this.received = concatBytes(this.received, part.subarray(0, this.#piece)) as Uint8Array<ArrayBuffer>;
    if (part.length > this.#piece) throw new PoolError('UNAVAILABLE', 'the line broke');
    return this.#view();
  };

  #view(): UploadView {
    const { length } = this.received;
    const all = length === this.#bytes;
    return {
      ...{ id: ROOT, bytes: this.#bytes, received: length, expires_at: 0 },
      ...(all && { submission }),
    };
  }
}

const options = (api: BreakingPool) => ({
  api,
  signal: AbortSignal.timeout(30_000),
  random: () => 0,
  onProgress: () => {},
  onTrouble: () => {},
});
const refusal = (code: ErrorCode, details = {}) => new PoolError(code, 'no', details);

test('goes on where the line broke, to the last byte', async () => {
  const { file, data } = await signed();
  const pool = new BreakingPool(data.length, 33);
  assert.equal(await sendParts(file, options(pool)), submission);
  assert.deepEqual(pool.received, data);
});

test('waits as long as it is asked to, and gives up where another try is in vain', async () => {
  const { file, data } = await signed();
  const patient = new BreakingPool(data.length, 100, [
    refusal('TOO_MANY_REQUESTS', { retry_after_seconds: 0.001 }),
    refusal('QUEUE_FULL', { retry_after_seconds: 0.001 }),
  ]);
  await sendParts(file, options(patient));
  assert.deepEqual(patient.received, data);
  for (const code of ['PAYLOAD_KNOWN', 'WEIGHTS_HASH', 'SIGNATURE'] as const)
    await assert.rejects(sendParts(file, options(new BreakingPool(80, 100, [refusal(code)]))), { code });
  const never = Array.from({ length: 100 }, () => refusal('UNAVAILABLE', { retry_after_seconds: 0.001 }));
  const gone = new BreakingPool(80, 100, never);
  await assert.rejects(sendParts(file, options(gone)), { code: 'UNAVAILABLE' });
  assert.ok(gone.errors.length > 80, 'not for ever');
});

test('the base of an upload that was begun is found again, under the same rules only', async () => {
  const { file } = await signed();
  const begun = new BegunUploads(join(dir, 'begun'));
  const later = { ...base, root: '01'.repeat(32) };
  assert.equal(await begun.find(file.order, later), undefined);
  await begun.remember(file.order, base);
  assert.deepEqual(await begun.find([...file.order].reverse(), later), base);
  assert.equal(await begun.find(file.order, { ...later, meta: '02'.repeat(32) }), undefined);
  assert.equal(await begun.find(file.order.slice(1), later), undefined);
  await begun.forget(file.order);
  assert.equal(await begun.find(file.order, later), undefined);
});
