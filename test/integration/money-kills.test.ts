import assert from 'node:assert/strict';
import { join } from 'node:path';
import { it } from 'node:test';
import { killMany } from '#test/drill/money/kills.ts';
import { makeMoneyPool } from '#test/helpers/money-pool.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const KILLS = 8;

it('nothing that was acknowledged is lost, and nothing is there twice, whenever the process is killed', async (t) => {
  const dir = await tempDir();
  const template = join(dir, 'template');
  await makeMoneyPool(template);
  const seed = Math.floor(Math.random() * 2 ** 32);
  const { found, faults } = await killMany({ template, dir, kills: KILLS, seed });
  t.diagnostic(`seed ${seed}: ${JSON.stringify(found)}`);
  assert.deepEqual(
    Object.entries(faults).filter(([, count]) => count > 0),
    [],
  );
  assert.ok(found.kills >= KILLS);
  assert.ok(found['kills in a recovery'] + found['kills in a commit'] > 0, 'no kill met anything');
  assert.ok(found['shares acknowledged'] > 0);
});
