import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { keyPair, verifySignature } from '#shared/crypto/keys.ts';
import { attestationDigest, commitmentDigest } from '#shared/protocol/attestation.ts';
import type { FromWorker } from '#shared/protocol/worker.ts';
import { devModelRef, scaledTensor } from '#test/helpers/dev-model-ref.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { TestGateway } from '#test/helpers/test-gateway.ts';
import { type EvaluationJob, Evaluator } from '#worker/evaluate/evaluator.ts';
import { EvaluateRole } from '#worker/evaluate/role.ts';
import { ProcessHost } from '#worker/process/host.ts';

const gateway = await TestGateway.start();
const { log } = keptLog();
const cacheDir = join(await tempDir(), 'cache');
const host = new ProcessHost(
  {
    entry: new URL('../../../worker/evaluate/process.ts', import.meta.url),
    setting: { coordinators: [gateway.url], backend: 'wasm', cacheDir, cacheBytes: 1e9 },
    memoryLimitBytes: 4 * 2 ** 30,
    requestsPerChild: 100,
    crashCode: 'EVALUATION_CRASHED',
  },
  log,
);
const evaluator = new Evaluator(host, { now: () => performance.now(), deadlineMs: 120_000 });
after(async () => {
  await host.close();
  await gateway.close();
});

const model = devModelRef(gateway);
const windows = Array.from({ length: 24 }, (_, i) => 2 * i);
const job = (changed: Partial<EvaluationJob> = {}): EvaluationJob => {
  return { model, changed: [], candidateRoot: model.root, windows, bearer: 'session-1', ...changed };
};
const signal = new AbortController().signal;
/** Random weights over 1,024 tokens: about ln 1024 = 6.9 nats. */
const isUntrained = (loss: number | null) => loss !== null && loss > 5e6 && loss < 10e6;

it('measures the head once, then knows it', async () => {
  const first = await evaluator.evaluate(job(), signal, () => {});
  assert.equal(first.tokens, windows.length * 128);
  assert.ok(first.base.every(isUntrained), `expected losses near ln 1024, got ${first.base}`);
  assert.deepEqual(first.candidate, first.base);
  const again = await evaluator.evaluate(job(), signal, () => {});
  assert.equal(again.tokens, 0);
  assert.deepEqual(again.base, first.base);
  assert.ok(gateway.payloadRequests.every(({ authorization }) => authorization === 'Bearer session-1'));
});

it('EVALUATION_CRASHED when the process is killed, and the next evaluation works', async () => {
  const change = scaledTensor(gateway, model, { name: 'transformer.wte.weight', factor: 0.5 });
  const killed = host.pid as number;
  const crash = evaluator.evaluate(job(change), signal, () => process.kill(killed, 'SIGKILL'));
  await assert.rejects(crash, { code: 'EVALUATION_CRASHED' });
  const outcome = await evaluator.evaluate(job(change), signal, () => {});
  assert.notEqual(host.pid, killed);
  assert.ok(outcome.candidate.every(isUntrained));
  assert.notDeepEqual(outcome.candidate, outcome.base);
});

it('null where a loss is not finite', async () => {
  const change = scaledTensor(gateway, model, { name: 'transformer.ln_f.weight', factor: Number.NaN });
  const outcome = await evaluator.evaluate(job(change), signal, () => {});
  assert.ok(outcome.candidate.every((loss) => loss === null));
  assert.ok(outcome.base.every(isUntrained));
});

it('BLOCK_ROOT for tensors that are not those of the root', async () => {
  const { changed } = scaledTensor(gateway, model, { name: 'transformer.ln_f.bias', factor: 2 });
  const wrong = job({ changed, candidateRoot: 'ab'.repeat(32) });
  await assert.rejects(
    evaluator.evaluate(wrong, signal, () => {}),
    { code: 'BLOCK_ROOT' },
  );
});

it('NOT_FOUND where a payload is not there', async () => {
  const { changed, candidateRoot } = scaledTensor(gateway, model, {
    name: 'transformer.wpe.weight',
    factor: 3,
  });
  gateway.payloads.delete(changed[0]?.hash ?? '');
  await assert.rejects(
    evaluator.evaluate(job({ changed, candidateRoot }), signal, () => {}),
    {
      code: 'NOT_FOUND',
    },
  );
});

it('an abort ends an evaluation without ending its process', async () => {
  const change = scaledTensor(gateway, model, { name: 'transformer.wte.weight', factor: 0.25 });
  const abort = new AbortController();
  const { pid } = host;
  const aborted = evaluator.evaluate(job(change), abort.signal, () => abort.abort(new Error('cancelled')));
  await assert.rejects(aborted, /cancelled/);
  const outcome = await evaluator.evaluate(job(change), signal, () => {});
  assert.equal(outcome.candidate.length, windows.length);
  assert.equal(host.pid, pid);
});

it('stops at the look that decides, and knows what it computed for other looks', async () => {
  const change = scaledTensor(gateway, model, { name: 'transformer.wte.weight', factor: 40 });
  const rule = { deltaMicroNats: 1_000, zMilli: 3_000, looks: [4, 8, 24], hopelessZMilli: 4_000 };
  const outcome = await evaluator.evaluate(job({ ...change, rule }), signal, () => {});
  assert.deepEqual([outcome.base.length, outcome.candidate.length], [4, 4], 'much worse: hopeless at once');
  assert.equal(outcome.tokens, 4 * 128, 'the base was known already');
  const all = await evaluator.evaluate(job(change), signal, () => {});
  assert.equal(all.tokens, 20 * 128);
  assert.deepEqual(all.candidate.slice(0, 4), outcome.candidate);
});

it('the role signs what it found, commits to it and shows it when it is asked', async () => {
  const key = keyPair(new Uint8Array(32).fill(9));
  const sent: FromWorker[] = [];
  let wake = () => {};
  const role = new EvaluateRole({
    evaluators: [evaluator],
    key,
    log,
    now: () => performance.now(),
    during: (compute) => compute(),
    close: async () => {},
    send: (message) => {
      sent.push(message);
      wake();
      return true;
    },
  });
  const networkId = new Uint8Array(32).fill(3);
  role.connected({ networkId, bearer: 'session-1', address: key.address });
  const change = scaledTensor(gateway, model, { name: 'transformer.wte.weight', factor: 0.5 });
  const lease = { lease: 'lease-1', submission: '11'.repeat(32), head: '22'.repeat(32), windows };
  role.message({ type: 'evaluate', ...lease, model, ...change, rule: null });
  while (sent.length < 3) await new Promise<void>((resolve) => (wake = resolve));
  const [ready, committed, again] = sent;
  assert.deepEqual([ready, again], Array(2).fill({ type: 'ready', role: 'evaluate' }));
  assert.equal(committed?.type, 'committed');
  role.message({ type: 'reveal', lease: 'another' });
  role.message({ type: 'reveal', lease: 'lease-1' });
  role.message({ type: 'reveal', lease: 'lease-1' });
  assert.equal(sent.length, 4, 'shown once, and only what was committed to');
  const result = sent[3] as Extract<FromWorker, { type: 'evaluated' }>;
  assert.equal(result.type, 'evaluated');
  const { base, candidate, signature, nonce } = result;
  const shown = { windows, base, candidate, nonce: fromHex(nonce, 32) };
  const { commitment } = committed as Extract<FromWorker, { type: 'committed' }>;
  assert.equal(commitment, toHex(commitmentDigest(networkId, shown, key.publicKey)));
  const target = {
    submission: fromHex(lease.submission, 32),
    head: fromHex(lease.head, 32),
    baseRoot: fromHex(model.root, 32),
    candidateRoot: fromHex(change.candidateRoot, 32),
    windows,
  };
  const losses = { base: base as number[], candidate: candidate as number[] };
  const signed = attestationDigest(networkId, target, losses);
  assert.ok(verifySignature(fromHex(signature, 64), signed, key.publicKey));
});
