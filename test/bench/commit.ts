import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { put } from '#coordinator/store/kv.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { figure, type Report } from '#test/bench/report.ts';
import { smallContent } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';

const ROUNDS = 12;
/** Tensors of the sizes of a small model: the largest one is half a megabyte. */
const SIZE = { vocabulary: 1024, width: 128 };

/**
 * The pool's own time from evaluated to committed. Everything but hashing nonces: templates, leases, checks, payload
 * chunks, durable batches; with a fake worker in the same process, whose work counts against us.
 */
export async function bench(report: Report): Promise<void> {
  const pool = await TestCoordinator.start({}, smallContent(SIZE));
  try {
    await pool.attach();
    const perBlockMs: number[] = [];
    let bytes = 0;
    let blocks = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const view = await pool.commitWhole(round + 0.5);
      ({ bytes } = view);
      blocks = view.tensors.length;
      const { overheadMs } = await pool.headNotice(round);
      perBlockMs.push(overheadMs / blocks);
    }
    report(
      figure({
        name: 'commit',
        metric: `evaluated to committed per tensor block, median of ${ROUNDS} × ${blocks} blocks`,
        value: median(perBlockMs),
        unit: 'ms',
        anchor: {
          name: 'durable RocksDB batch of the same bytes',
          value: await plainBatchMs(bytes / blocks),
        },
        goal: { on: 'value', atMost: 50 },
      }),
    );
  } finally {
    await pool.destroy();
  }
}

async function plainBatchMs(bytes: number): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'aiblock-bench-'));
  const kv = await openRocksKv(join(dir, 'store'));
  try {
    const times: number[] = [];
    for (let i = 0; i < ROUNDS * 4; i++) {
      const op = put(Uint8Array.of(1, i), new Uint8Array(randomBytes(Math.round(bytes))));
      const startedMs = performance.now();
      await kv.batch([op], { durable: true });
      times.push(performance.now() - startedMs);
    }
    return median(times);
  } finally {
    await kv.close();
    await rm(dir, { recursive: true, force: true });
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
