import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { unitsOf, WorkUnits } from '#coordinator/ledger/work-units.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { WorkAudit } from '#shared/block/audit-work.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { NETWORK } from '#test/helpers/forge.ts';
import { refOfShare } from '#test/helpers/share-refs.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

const KILLS = 6;
const WRITER = fileURLToPath(import.meta.resolve('#test/helpers/share-writer.ts'));

async function lines(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').slice(0, -1);
}

/** Credits shares from this number on, and kills the process at a random moment. */
async function creditAndKill(store: string, log: string, first: number): Promise<void> {
  const before = (await lines(log)).length;
  const child = spawn(execPath, ['--import', 'tsx', WRITER, store, log, String(first)], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = once(child, 'exit');
  while ((await lines(log)).length <= before + 1) {
    assert.equal(child.exitCode, null, 'the writer ended by itself');
    await sleep(5);
  }
  await sleep(Math.random() * 150);
  child.kill('SIGKILL');
  await exited;
}

it('loses no acknowledged share and credits none twice when the process is killed', async (t) => {
  const dir = await tempDir();
  const [store, log] = [join(dir, 'store'), join(dir, 'acknowledged')];
  let acknowledged = new Set<string>();
  for (let kill = 0; kill < KILLS; kill++) {
    const told = (await lines(log)).map(Number).filter(Number.isFinite);
    // Some that were under way when the last process was killed come again.
    await creditAndKill(store, log, Math.max(0, ...told) + 1);
    const text = await lines(log);
    assert.deepEqual(
      text.filter((line) => line.startsWith('twice')),
      [],
      'a share was credited twice',
    );
    acknowledged = new Set(text.filter((line) => line !== 'open'));
    const kv = await openRocksKv(store);
    const audit = new WorkAudit(NETWORK, 'grinding');
    const credited = new Set<string>();
    for await (const bytes of unitsOf(kv, 'grinding')) credited.add(toHex(audit.append(bytes).ref));
    const lost = [...acknowledged].filter((n) => !credited.has(toHex(refOfShare(Number(n)))));
    assert.deepEqual(lost, [], 'acknowledged shares are gone');
    const { places } = await WorkUnits.open(kv, NETWORK);
    assert.deepEqual(places.grinding, audit.place);
    await kv.close();
  }
  t.diagnostic(`${KILLS} kills, ${acknowledged.size} acknowledged shares`);
});
