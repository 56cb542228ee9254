import assert from 'node:assert/strict';
import { beforeEach, it } from 'node:test';
import { keyPair } from '#shared/crypto/keys.ts';
import type { FromWorker, ToWorker } from '#shared/protocol/worker.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import type { EvaluationOutcome } from '#worker/evaluate/evaluator.ts';
import { EvaluateRole } from '#worker/evaluate/role.ts';

const key = keyPair(new Uint8Array(32).fill(9));
const outcome: EvaluationOutcome = { base: [5], candidate: [4], tokens: 128, ms: 10 };
const session = { networkId: new Uint8Array(32), bearer: '', address: key.address };
const hex = '11'.repeat(32);

let sent: FromWorker[];
/** Ends the evaluations that run, in the order in which they began. */
let running: ((outcome: EvaluationOutcome) => void)[];
let role: EvaluateRole;

beforeEach(() => {
  sent = [];
  running = [];
  const evaluate = () => new Promise<EvaluationOutcome>((resolve) => running.push(resolve));
  role = new EvaluateRole({
    evaluators: [{ evaluate }, { evaluate }],
    key,
    log: keptLog().log,
    now: () => 0,
    during: (compute) => compute(),
    close: async () => {},
    send: (message) => {
      sent.push(message);
      return true;
    },
  });
  role.connected(session);
});

function lease(id: string): Extract<ToWorker, { type: 'evaluate' }> {
  const model = { meta: hex, metaPayload: hex, root: hex, tensors: [] };
  const about = {
    submission: hex,
    head: hex,
    model,
    changed: [],
    candidateRoot: hex,
    windows: [0],
    rule: null,
  };
  return { type: 'evaluate', lease: id, ...about };
}

const types = () => sent.map(({ type }) => type);
const settled = () => new Promise((resolve) => setImmediate(resolve));

it('asks for a lease for each of its processes, and evaluates so many at once', async () => {
  assert.deepEqual(types(), ['ready', 'ready']);
  role.message(lease('a'));
  role.message(lease('b'));
  assert.equal(running.length, 2);
  assert.equal(role.unfinished, 2);
  role.message(lease('c'));
  await settled();
  const refused = sent.find((m) => m.type === 'failed');
  assert.deepEqual([refused?.lease, refused?.error.code], ['c', 'TOO_MANY_REQUESTS']);
  running[1]?.(outcome);
  await settled();
  assert.deepEqual(types().slice(3), ['committed', 'ready']);
  role.message(lease('d'));
  assert.equal(running.length, 3, 'the process that is free again takes the next');
});

it('has something unfinished until the pool has seen what it committed to', async () => {
  role.message(lease('a'));
  running[0]?.(outcome);
  await settled();
  assert.equal(role.unfinished, 1);
  role.message({ type: 'reveal', lease: 'a' });
  assert.equal(role.unfinished, 0);
  role.message(lease('b'));
  running[1]?.(outcome);
  await settled();
  role.message({ type: 'cancel', id: 'b' });
  assert.equal(role.unfinished, 0, 'nobody wants it any more');
});

it('drops what it holds with the line, and takes new leases after it', async () => {
  role.message(lease('a'));
  role.disconnected();
  assert.equal(role.unfinished, 0);
  running[0]?.(outcome);
  await settled();
  assert.deepEqual(types(), ['ready', 'ready'], 'nobody is told');
  role.connected(session);
  role.message(lease('b'));
  role.message(lease('c'));
  assert.equal(running.length, 3);
});
