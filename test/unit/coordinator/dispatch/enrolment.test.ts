import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { EnrolledWorkers } from '#coordinator/dispatch/enrolled-workers.ts';
import { type Applicant, Enrolment } from '#coordinator/dispatch/enrolment.ts';
import { WorkerTokens } from '#coordinator/dispatch/worker-tokens.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { BUCKET, bucketKey, bucketRange } from '#coordinator/store/keys.ts';
import { put } from '#coordinator/store/kv.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import { encodeCbor } from '#shared/block/cbor.ts';
import { proveOwner } from '#shared/protocol/owner.ts';

const networkId = new Uint8Array(32).fill(3);
const DAY_MS = 24 * 3_600_000;
const terms = { name: 'attic', owner: null, expires: DAY_MS, uses: 1 };

let kv: MemoryKv;
let nowMs: number;
let tokens: WorkerTokens;
let enrolment: Enrolment;

/** As a start of the coordinator finds it. */
async function open(): Promise<void> {
  const now = () => nowMs;
  tokens = await WorkerTokens.open(kv, now);
  const workers = await EnrolledWorkers.open(kv);
  enrolment = new Enrolment({ networkId, workers, tokens, poolToken: 'the pool’s own', now });
}

beforeEach(async () => {
  kv = new MemoryKv();
  nowMs = 1_000;
  await open();
});

const applicant = (change: Partial<Applicant> = {}): Applicant => ({
  publicKey: newKeyPair().publicKey,
  name: 'w',
  ...change,
});
const refused = (change: Partial<Applicant>, message: RegExp) =>
  assert.rejects(enrolment.admit(applicant(change)), { code: 'UNAUTHORISED', message });

describe('one-time tokens', () => {
  it('enrol one worker, which needs none afterwards, also after a restart', async () => {
    const { secret, token } = await tokens.create(terms);
    const worker = newKeyPair();
    const admitted = await enrolment.admit(applicant({ publicKey: worker.publicKey, token: secret }));
    assert.deepEqual(admitted, { owner: worker.address, standing: 'active' });
    await open();
    assert.equal(tokens.list()[0]?.used, 1);
    assert.deepEqual(await enrolment.admit(applicant({ publicKey: worker.publicKey })), admitted);
    assert.deepEqual(
      await enrolment.admit(applicant({ publicKey: worker.publicKey, token: secret })),
      admitted,
    );
    assert.equal(enrolment.all()[0]?.[1].token, token.id);
  });

  it('UNAUTHORISED: none, a strange one, a used, an expired, a revoked one', async () => {
    await refused({}, /expected an enrolment token/);
    await refused({ token: 'ff'.repeat(24) }, /none of this pool/);
    const used = await tokens.create(terms);
    await enrolment.admit(applicant({ token: used.secret }));
    await refused({ token: used.secret }, /was used already/);
    const revoked = await tokens.create(terms);
    await tokens.revoke(revoked.token.id);
    await refused({ token: revoked.secret }, /was revoked/);
    const expired = await tokens.create(terms);
    nowMs += DAY_MS;
    await refused({ token: expired.secret }, /has expired/);
  });

  it('enrol exactly one of many that bring it at once', async () => {
    const { secret } = await tokens.create(terms);
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => enrolment.admit(applicant({ token: secret }))),
    );
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
    assert.equal(enrolment.all().length, 1);
    await open();
    assert.equal(enrolment.all().length, 1);
  });

  it('are used and their worker enrolled in one batch: whatever fails, both or none', async () => {
    const { secret } = await tokens.create(terms);
    const write = kv.batch.bind(kv);
    kv.batch = async () => Promise.reject(new Error('the disk is full'));
    await assert.rejects(enrolment.admit(applicant({ token: secret })), /full/);
    assert.equal(tokens.list()[0]?.used, 0);
    assert.equal(enrolment.all().length, 0);
    let batches = 0;
    kv.batch = (...args: Parameters<typeof write>) => {
      batches += 1;
      return write(...args);
    };
    await enrolment.admit(applicant({ token: secret }));
    assert.equal(batches, 1);
  });

  it('may enrol several', async () => {
    const { secret } = await tokens.create({ ...terms, uses: 2 });
    await enrolment.admit(applicant({ token: secret }));
    await enrolment.admit(applicant({ token: secret }));
    await refused({ token: secret }, /was used already/);
  });

  it('stand in the store as a hash only', async () => {
    const { secret } = await tokens.create(terms);
    for await (const [key, value] of kv.entries(bucketRange(BUCKET.workerToken)))
      for (const bytes of [key, value]) {
        assert.ok(!Buffer.from(bytes).includes(Buffer.from(secret, 'hex')));
        assert.ok(!Buffer.from(bytes).includes(secret));
      }
  });

  it('OPTION: an expiry that has passed; NOT_FOUND: a token that is none', async () => {
    await assert.rejects(tokens.create({ ...terms, expires: nowMs }), { code: 'OPTION' });
    await assert.rejects(tokens.revoke('abc'), { code: 'NOT_FOUND' });
  });
});

describe('the owner of a worker', () => {
  const [owner, other] = [newKeyPair(), newKeyPair()];
  const workerOf = () => newKeyPair().publicKey;
  const by = (publicKey: Uint8Array, signer: typeof owner) => proveOwner(networkId, publicKey, signer);

  it('is what the token names, with or without his signature; UNAUTHORISED with another’s', async () => {
    const make = async () => (await tokens.create({ ...terms, owner: owner.address })).secret;
    const publicKey = workerOf();
    await refused({ publicKey, token: await make(), owner: by(publicKey, other) }, /enrolled for the owner/);
    const admitted = await enrolment.admit(applicant({ publicKey, token: await make() }));
    assert.equal(admitted.owner, owner.address);
    assert.deepEqual(await enrolment.admit(applicant({ publicKey, owner: by(publicKey, owner) })), admitted);
    await refused({ publicKey, owner: by(publicKey, other) }, /enrolled for the owner/);
  });

  it('is who signs where the token names none, from the first signature on', async () => {
    const publicKey = workerOf();
    const token = 'the pool’s own';
    const alone = await enrolment.admit(applicant({ publicKey, token }));
    assert.notEqual(alone.owner, owner.address);
    assert.equal(
      (await enrolment.admit(applicant({ publicKey, owner: by(publicKey, owner) }))).owner,
      owner.address,
    );
    await open();
    assert.equal((await enrolment.admit(applicant({ publicKey }))).owner, owner.address);
    await refused({ publicKey, owner: by(publicKey, other) }, /enrolled for the owner/);
  });

  it('SIGNATURE: one made for another worker', async () => {
    const claim = applicant({ token: 'the pool’s own', owner: by(workerOf(), owner) });
    await assert.rejects(enrolment.admit(claim), { code: 'SIGNATURE' });
    assert.equal(enrolment.all().length, 0);
  });
});

describe('the standing of a worker', () => {
  it('outlives a restart; UNAUTHORISED once it is revoked, also with a new token', async () => {
    const { publicKey } = newKeyPair();
    await enrolment.admit(applicant({ publicKey, token: 'the pool’s own' }));
    await enrolment.setStanding(publicKey, 'paused');
    await open();
    assert.equal((await enrolment.admit(applicant({ publicKey }))).standing, 'paused');
    await enrolment.setStanding(publicKey, 'revoked');
    const { secret } = await tokens.create(terms);
    await refused({ publicKey, token: secret }, /revoked the key/);
    await refused({ publicKey, token: 'the pool’s own' }, /revoked the key/);
    assert.equal(tokens.list()[0]?.used, 0);
  });

  it('NOT_FOUND: a key that is not enrolled', async () => {
    await assert.rejects(enrolment.setStanding(newKeyPair().publicKey, 'paused'), { code: 'NOT_FOUND' });
  });

  it('is active for a key that an earlier version enrolled', async () => {
    const worker = newKeyPair();
    const key = bucketKey(BUCKET.worker, worker.publicKey);
    await kv.batch([put(key, encodeCbor({ v: 1, name: 'old', at: 5 }))]);
    await open();
    const admitted = await enrolment.admit(applicant({ publicKey: worker.publicKey, name: 'new' }));
    assert.deepEqual(admitted, { owner: worker.address, standing: 'active' });
    assert.equal(enrolment.all()[0]?.[1].name, 'new');
  });
});

it('closes when all that was noted of workers is written', async () => {
  const keys = Array.from({ length: 50 }, () => newKeyPair().publicKey);
  for (const publicKey of keys) await enrolment.admit(applicant({ publicKey, token: 'the pool’s own' }));
  nowMs = 9_000;
  const noted = keys.map((publicKey) => enrolment.seen(publicKey, true));
  await enrolment.close();
  await open();
  assert.ok(enrolment.all().every(([, { seen }]) => seen === 9_000));
  await Promise.all(noted);
});
