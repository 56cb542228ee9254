import assert from 'node:assert/strict';
import { it } from 'node:test';
import { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import { Suitability } from '#coordinator/evaluation/suitability.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import type { Capabilities } from '#shared/protocol/capabilities.ts';
import { type ModelRef, WORKER_PROTOCOL_VERSION } from '#shared/protocol/worker.ts';

const MIB = 1024 * 1024;
const hex = (n: number) => n.toString(16).padStart(64, '0');

/** Ten tensors of a MiB each on the chain, two as they are computed with; `changed` of them are other ones. */
function job(changed = 0) {
  const tensors = Array.from({ length: 10 }, (_, i) => ({
    ...{ name: `t${i}`, dtype: 'BF16' as const, shape: [MIB / 2] },
    hash: hex(i < changed ? 1_000 + changed * 100 + i : i),
  }));
  const model: ModelRef = { meta: hex(0), metaPayload: hex(0), root: hex(changed), tensors };
  return { model, changed: [] };
}

function worker(name: string, capabilities?: Capabilities): WorkerSession {
  const { publicKey } = newKeyPair();
  const hello = {
    ...{ type: 'hello' as const, protocol: WORKER_PROTOCOL_VERSION, publicKey: toHex(publicKey), name },
    ...{ software: 'test', roles: ['evaluate' as const], backend: 'wasm', threads: 1 },
    ...(capabilities && { capabilities }),
  };
  const socket = { send: () => undefined, close: () => undefined };
  return new WorkerSession(socket, { hello, publicKey, bearer: '', nowMs: 0 });
}

const machine = (memoryBytes: number, deviceBytes?: number): Capabilities => ({
  backends: [{ name: 'webgpu', ...(deviceBytes === undefined ? {} : { memoryBytes: deviceBytes }) }],
  hashesPerSecond: 0,
  memoryBytes,
  cores: 2,
});
const names = (sessions: readonly WorkerSession[]) => sessions.map(({ hello }) => hello.name);
const never = () => false;

it('asks nobody who cannot hold a tensor, and takes silence for enough', () => {
  const workers = [
    worker('tiny', machine(3 * MIB)),
    worker('fits', machine(4 * MIB)),
    worker('silent'),
    worker('small machine, large device', machine(3 * MIB, 100 * MIB)),
  ];
  const found = names(new Suitability(never).rank(job(), workers));
  assert.deepEqual(found.sort(), ['fits', 'silent', 'small machine, large device']);
});

it('asks first whose device holds the whole model', () => {
  const workers = [
    worker('streams', machine(100 * MIB, 10 * MIB)),
    worker('holds', machine(100 * MIB, 20 * MIB)),
  ];
  assert.deepEqual(names(new Suitability(never).rank(job(), workers)), ['holds', 'streams']);
});

it('asks first who has least to do', () => {
  const [busy, idle] = [worker('busy'), worker('idle', machine(10 * MIB))];
  (busy as WorkerSession).holds.evaluate = 1;
  const suitability = new Suitability(never);
  suitability.asked(job(), busy as WorkerSession);
  assert.deepEqual(names(suitability.rank(job(), [busy, idle] as WorkerSession[])), ['idle', 'busy']);
});

it('asks first who has the base in its cache, also when one tensor of it is new', () => {
  const [cold, warm] = [worker('cold'), worker('warm')] as [WorkerSession, WorkerSession];
  const suitability = new Suitability(never);
  suitability.asked(job(), warm);
  assert.deepEqual(names(suitability.rank(job(), [cold, warm])), ['warm', 'cold']);
  assert.deepEqual(names(suitability.rank(job(1), [cold, warm])), ['warm', 'cold']);
  assert.deepEqual(names(suitability.rank(job(2), [cold, warm])), ['cold', 'warm'], 'no difference any more');
});

it('gives who is new a turn by lot', () => {
  const [cold, warm] = [worker('cold'), worker('warm')] as [WorkerSession, WorkerSession];
  const suitability = new Suitability(() => true);
  suitability.asked(job(), warm);
  assert.deepEqual(names(suitability.rank(job(), [cold, warm])), ['cold', 'warm']);
});
