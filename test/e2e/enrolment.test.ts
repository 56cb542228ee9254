import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { askOperator } from '#coordinator/operator/ask.ts';
import type { WorkerLine } from '#coordinator/operator/operations.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { ChildHandle } from '#test/helpers/child.ts';
import { FakeWorker } from '#test/helpers/fake-worker.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { makeChain } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';

const KILLS = 6;
/** The longest time that an enrolment takes, with its durable write. */
const LATEST_MS = 30;

describe('a one-time token', { skip: skipWithout('redis-server') }, () => {
  it('enrols one of two workers that race for it, whenever the coordinator is killed', async (t) => {
    const dataDir = await tempDir();
    await makeChain(dataDir);
    const start = async () => {
      const pool = ChildHandle.aiblock('coordinator', ['coordinator', '--data-dir', dataDir, '--port', '0']);
      const url = await pool.line((line) => /^\{"url":"([^"]+)"/.exec(line)?.[1]);
      return { pool, url };
    };
    const ask = (operation: string, input: unknown) => askOperator(dataDir, { operation, input });
    let { pool, url } = await start();
    let enrolledAtKill = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const terms = { name: `kill ${kill}`, owner: null, uses: 1, expires: Date.now() + 600_000 };
      const made = (await ask('create-token', terms)) as { secret: string; token: { id: string } };
      const enrol = () => FakeWorker.attach({ url, key: newKeyPair(), token: made.secret, roles: ['chat'] });
      const racing = [enrol(), enrol()];
      await sleep((LATEST_MS * kill) / (KILLS - 1));
      pool.kill('SIGKILL');
      await pool.ended;
      const racers = await Promise.all(racing);
      const welcome = racers.filter(({ bearer }) => bearer !== '').length;
      ({ pool, url } = await start());
      const workers = (await ask('list-workers', {})) as WorkerLine[];
      const enrolled = workers.filter(({ token }) => token === made.token.id).length;
      const tokens = (await ask('list-tokens', {})) as { id: string; used: number }[];
      const used = tokens.find(({ id }) => id === made.token.id)?.used;
      assert.equal(used, enrolled, 'the use and the enrolment stand together');
      assert.ok(enrolled <= 1 && welcome <= enrolled, `${welcome} welcomed, ${enrolled} enrolled`);
      enrolledAtKill += enrolled;
      const late = await enrol();
      assert.equal(late.bearer !== '', enrolled === 0);
      await late.close();
    }
    t.diagnostic(`${enrolledAtKill} of ${KILLS} were enrolled at the kill`);
    pool.kill('SIGTERM');
    assert.equal((await pool.ended).code, 0);
  });
});
