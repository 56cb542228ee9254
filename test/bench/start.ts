import { spawnSync } from 'node:child_process';
import { execPath } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { figure, type Report } from '#test/bench/report.ts';
import { ChildHandle } from '#test/helpers/child.ts';
import { freePort } from '#test/helpers/free-port.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';

const BLOCKS = 1_000;
const STARTS = 5;
const POLL_MS = 10;

/** How soon a coordinator with 1,000 blocks is ready: from spawning its command to the first 200 of `/readyz`. */
export async function bench(report: Report): Promise<void> {
  const pool = await TestCoordinator.start();
  try {
    await pool.attach();
    const { length: tensors } = (await pool.model()).tensors;
    for (let value = 1; value * tensors <= BLOCKS; value++) await pool.commitWhole(value + 0.5);
    const { index } = (await pool.model()).head;
    await pool.stop();
    const times: number[] = [];
    const anchors: number[] = [];
    for (let i = 0; i < STARTS; i++) {
      times.push(await readyMs(pool.dataDir));
      anchors.push(emptyNodeMs());
    }
    report(
      figure({
        name: 'start',
        metric: `ready with ${index + 1} blocks, best of ${STARTS}`,
        value: Math.min(...times) / 1000,
        unit: 's',
        anchor: { name: 'node with an empty script', value: Math.min(...anchors) / 1000 },
        goal: { on: 'value', atMost: 3 },
      }),
    );
  } finally {
    await pool.destroy();
  }
}

async function readyMs(dataDir: string): Promise<number> {
  const port = await freePort();
  const startedMs = performance.now();
  const child = ChildHandle.aiblock('coordinator', [
    'coordinator',
    ...['--data-dir', dataDir, '--port', String(port)],
  ]);
  try {
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
      if (answer?.status === 200) return performance.now() - startedMs;
      if (!child.running) throw new Error(child.describe());
      await sleep(POLL_MS);
    }
  } finally {
    await child.stop();
  }
}

function emptyNodeMs(): number {
  const startedMs = performance.now();
  spawnSync(execPath, ['-e', '']);
  return performance.now() - startedMs;
}
