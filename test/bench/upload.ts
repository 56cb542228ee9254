import { createHash } from 'node:crypto';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tensorInMemory } from '#coordinator/chain/genesis/content.ts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { errorBodySchema, type ModelView, modelSchema } from '#shared/api/schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { SUBMISSION_METADATA_KEY, signSubmission } from '#shared/protocol/submission.ts';
import { parseModelConfig, tensorShapes } from '#shared/weights/model-config.ts';
import { safetensorsHeader } from '#shared/weights/safetensors.ts';
import { figure, type Report } from '#test/bench/report.ts';
import { ChildHandle } from '#test/helpers/child.ts';
import { smallContent } from '#test/helpers/small-genesis.ts';
import { makeChain } from '#test/helpers/test-coordinator.ts';

const MIB = 1 << 20;
const TENSOR = 'transformer.wte.weight';
const WIDTH = 1024;
const BYTES = 512 * MIB;
const VOCABULARY = BYTES / 4 / WIDTH;
const GOAL_RSS_MIB = 300;
const SAMPLE_MS = 20;

/** The coordinator's memory while a file of 512 MiB is refused from its header, refused at its end, and accepted. */
export async function bench(report: Report): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'aiblock-bench-'));
  let coordinator: ChildHandle | undefined;
  try {
    await makeChain(join(dir, 'data'), largeContent());
    coordinator = ChildHandle.aiblock('coordinator', [
      'coordinator',
      ...['--data-dir', join(dir, 'data'), '--port', '0'],
    ]);
    const line = await coordinator.line((text) => text.startsWith('{"url":') && text);
    const { url } = JSON.parse(line) as { url: string };
    const model = modelSchema.parse(await (await fetch(new URL('/model', url))).json());
    const cases = [
      { what: 'refused from the header', expected: 'SUBMISSION_META', spoilt: false, meta: '0'.repeat(64) },
      { what: 'refused at the end', expected: 'WEIGHTS_NOT_FINITE', spoilt: true, meta: model.meta.hash },
      { what: 'accepted', expected: undefined, spoilt: false, meta: model.meta.hash },
    ];
    let acceptedMs = Number.NaN;
    for (const { what, expected, ...kind } of cases) {
      const file = fileOf(model, kind);
      const memory = watchRss(coordinator.pid);
      const startedMs = performance.now();
      const code = await upload(url, file);
      acceptedMs = performance.now() - startedMs;
      if (code !== expected) throw new Error(`${what}: expected ${expected}, got ${code}`);
      report(
        figure({
          name: 'upload',
          metric: `memory while 512 MiB are ${what}`,
          value: await memory.stop(),
          unit: 'MiB',
          goal: { on: 'value', atMost: GOAL_RSS_MIB },
        }),
      );
    }
    report(
      figure({
        name: 'upload',
        metric: 'rate of the accepted upload',
        value: BYTES / MIB / (acceptedMs / 1000),
        unit: 'MiB/s',
        anchor: { name: 'the same bytes written and synced', value: await plainRate(join(dir, 'plain')) },
      }),
    );
  } finally {
    await coordinator?.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

/** The small model with a vocabulary that fills 512 MiB; zeros, as only sizes count here. */
function largeContent() {
  const small = smallContent();
  const configJson = JSON.stringify({
    ...JSON.parse(small.configJson),
    vocab_size: VOCABULARY,
    n_embd: WIDTH,
  });
  const shapes = tensorShapes(parseModelConfig(JSON.parse(configJson)));
  const tensors = small.tensors.map(({ name, dtype }) => {
    const shape = shapes.get(name) as number[];
    const bytes = new Uint8Array(4 * shape.reduce((a, b) => a * b, 1));
    return tensorInMemory({ name, dtype, shape, bytes });
  });
  return { ...small, configJson, tensors };
}

/** MiB pieces of one value; the spoilt file ends with a NaN. */
function* pieces(spoilt: boolean): Generator<Uint8Array> {
  const piece = new Uint8Array(new Float32Array(MIB / 4).fill(spoilt ? 0.5 : 0.25).buffer);
  for (let at = 0; at < BYTES - MIB; at += MIB) yield piece;
  const last = piece.slice();
  if (spoilt) new DataView(last.buffer).setFloat32(MIB - 4, Number.NaN, true);
  yield last;
}

function fileOf(model: ModelView, { spoilt, meta }: { spoilt: boolean; meta: string }) {
  const sha = createHash('sha256');
  for (const piece of pieces(spoilt)) sha.update(piece);
  const ref = {
    name: TENSOR,
    dtype: 'F32' as const,
    shape: [VOCABULARY, WIDTH],
    payloadHash: new Uint8Array(sha.digest()),
  };
  const content = { base: fromHex(model.root, 32), meta: fromHex(meta, 32), tensors: [ref] };
  const { text } = signSubmission(fromHex(model.network, 32), content, newKeyPair());
  return { header: safetensorsHeader([ref], { [SUBMISSION_METADATA_KEY]: text }).header, spoilt };
}

/** Code of the refusal, or undefined. */
async function upload(
  url: string,
  file: { header: Uint8Array; spoilt: boolean },
): Promise<string | undefined> {
  const body = async function* () {
    yield file.header;
    yield* pieces(file.spoilt);
  };
  const response = await fetch(new URL('/upload_parameters', url), {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: body() as unknown as ReadableStream,
    duplex: 'half',
  });
  const answer = await response.json();
  return response.ok ? undefined : errorBodySchema.parse(answer).error.code;
}

/** The most resident memory of a process between now and `stop`, MiB. */
function watchRss(pid: number): { stop(): Promise<number> } {
  let most = 0;
  const sample = async () => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    most = Math.max(most, Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024);
  };
  const timer = setInterval(sample, SAMPLE_MS);
  return {
    stop: async () => {
      clearInterval(timer);
      await sample();
      return most;
    },
  };
}

/** MiB per second of writing a file and syncing it. */
async function plainRate(path: string): Promise<number> {
  const startedMs = performance.now();
  const handle = await open(path, 'w');
  try {
    for (const piece of pieces(false)) await handle.write(piece);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  return BYTES / MIB / ((performance.now() - startedMs) / 1000);
}
