import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { CountingProxy } from '#test/bench/gateway/counting-proxy.ts';
import { figure, type Report } from '#test/bench/report.ts';
import { ChildHandle } from '#test/helpers/child.ts';
import { fileOf, post, smallContent } from '#test/helpers/small-genesis.ts';
import { TestCoordinator, TOKEN } from '#test/helpers/test-coordinator.ts';
import { until } from '#test/helpers/until.ts';

/** Its largest tensor has two MiB. */
const SIZE = { vocabulary: 8_192, width: 64 };
const TENSOR = 'transformer.wte.weight';

/** What a real worker that has evaluated before fetches for a submission of one tensor, on the wire. */
export async function benchPayloads(report: Report): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'aiblock-payloads-'));
  const pool = await TestCoordinator.start({}, smallContent(SIZE));
  const proxy = await CountingProxy.start(Number(new URL(pool.url).port));
  const worker = ChildHandle.aiblock('worker', [
    ...['worker', '--coordinator', proxy.url, '--data-dir', dir, '--token', TOKEN],
    ...['--roles', 'evaluate', '--backend', 'wasm', '--name', 'warm'],
  ]);
  try {
    await until('the head is measured', async () => (await pool.model()).validation_loss_nats !== null);
    const model = await pool.model();
    const cold = proxy.bytes;
    const file = fileOf(model, { key: newKeyPair(), tensors: { [TENSOR]: 0.125 } });
    const { status } = await post(pool.url, file);
    if (status !== 202) throw new Error(`the submission was answered with ${status}`);
    await pool.reaches(file.id, 'evaluated', 'mining', 'rejected');
    const anchor = { name: 'the tensor', value: SIZE.vocabulary * SIZE.width * 4 };
    const show = { name: 'gateway', unit: 'bytes' };
    report(figure({ ...show, metric: 'fetched for the first evaluation, a new worker', value: cold }));
    report(
      figure({
        ...show,
        metric: 'fetched for a submission of one tensor, a warm worker',
        value: proxy.bytes - cold,
        anchor,
        goal: { on: 'ratio', atLeast: 1, atMost: 1.05 },
      }),
    );
  } finally {
    await worker.stop();
    proxy.close();
    await pool.destroy();
    await rm(dir, { recursive: true, force: true });
  }
}
