import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tensorInMemory } from '#coordinator/chain/genesis/content.ts';
import { type ModelView, modelSchema } from '#shared/api/schemas.ts';
import { parseModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { ChildHandle } from '#test/helpers/child.ts';
import { smallContent } from '#test/helpers/small-genesis.ts';
import { makeChain } from '#test/helpers/test-coordinator.ts';

const SAMPLE_MS = 20;
const SETTLE_MS = 1_000;

export interface Running {
  readonly url: string;
  readonly dir: string;
  readonly model: ModelView;
  /** Most resident memory between now and `stop`, over what it is now, MiB. */
  watch(): Promise<{ growthMib(): Promise<number> }>;
}

/** A coordinator as a process of its own, on a chain of zeros of this form. */
export async function withCoordinator(
  config: object,
  work: (running: Running) => Promise<void>,
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'aiblock-bench-'));
  let child: ChildHandle | undefined;
  try {
    await makeChain(join(dir, 'data'), contentOf(config));
    const dataDir = ['--data-dir', join(dir, 'data'), '--port', '0'];
    const started = ChildHandle.aiblock('coordinator', ['coordinator', ...dataDir]);
    child = started;
    const line = await started.line((text) => text.startsWith('{"url":') && text);
    const { url } = JSON.parse(line) as { url: string };
    const model = modelSchema.parse(await (await fetch(new URL('/model', url))).json());
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    await work({ url, dir, model, watch: () => watchRss(started.pid) });
  } finally {
    await child?.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

/** The small model with another configuration; zeros, as only sizes count here. */
function contentOf(config: object) {
  const small = smallContent();
  const configJson = JSON.stringify({ ...JSON.parse(small.configJson), ...config });
  const parsed = parseModelConfig(JSON.parse(configJson));
  const tensors = [...tensorShapes(parsed)].map(([name, shape]) => {
    const bytes = new Uint8Array(4 * shape.reduce((a, b) => a * b, 1));
    return tensorInMemory({ name, dtype: 'F32', shape: [...shape], bytes });
  });
  return { ...small, configJson, tensors };
}

async function watchRss(pid: number): Promise<{ growthMib(): Promise<number> }> {
  const before = await rssMib(pid);
  let most = before;
  const sample = async () => {
    most = Math.max(most, await rssMib(pid));
  };
  const timer = setInterval(sample, SAMPLE_MS);
  return {
    growthMib: async () => {
      clearInterval(timer);
      await sample();
      return most - before;
    },
  };
}

async function rssMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
}
