import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Attendance } from '#coordinator/dispatch/attendance.ts';
import type { EnrolledWorker } from '#coordinator/dispatch/enrolled-workers.ts';
import type { WorkerSession } from '#coordinator/dispatch/worker-session.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { toHex } from '#shared/crypto/bytes.ts';

const NOW = 1_800_000_000_000;
const HOUR_MS = 3_600_000;

function worker(name: string, change: Partial<EnrolledWorker> = {}): readonly [string, EnrolledWorker] {
  const known = {
    name,
    at: 0,
    owner: null,
    token: null,
    standing: 'active' as const,
    seen: NOW,
    left: false,
  };
  return [toHex(newKeyPair().publicKey), { ...known, ...change }];
}

it('lists who is here, and who was lost lately; nobody who left, was sent away, or is long gone', () => {
  const here = worker('here', { left: true, seen: 0 });
  const all = [
    here,
    worker('lost', { seen: NOW - HOUR_MS }),
    worker('left', { left: true }),
    worker('paused', { standing: 'paused' }),
    worker('revoked', { standing: 'revoked' }),
    worker('long gone', { seen: NOW - 25 * HOUR_MS }),
  ];
  const session = (key: Uint8Array) =>
    toHex(key) === here[0] ? ({ lastSeenMs: NOW - 5 } as WorkerSession) : undefined;
  const attendance = new Attendance({ enrolment: { all: () => all }, workers: { session } }, () => NOW);
  const list = attendance.list().map(({ name, connected, lastSeenMs }) => ({ name, connected, lastSeenMs }));
  assert.deepEqual(list, [
    { name: 'here', connected: true, lastSeenMs: NOW - 5 },
    { name: 'lost', connected: false, lastSeenMs: NOW - HOUR_MS },
  ]);
  assert.deepEqual(attendance.list(), attendance.list());
});
