import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { errorBodySchema } from '#shared/api/common-schemas.ts';
import type { ModelView } from '#shared/api/schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { SUBMISSION_METADATA_KEY, signSubmission } from '#shared/protocol/submission.ts';
import { safetensorsHeader } from '#shared/weights/safetensors.ts';
import { withCoordinator } from '#test/bench/pol/coordinator.ts';
import { figure, type Report } from '#test/bench/report.ts';

const MIB = 1 << 20;
const TENSOR = 'transformer.wte.weight';
const WIDTH = 1024;
const BYTES = 1024 * MIB;
const VOCABULARY = BYTES / 4 / WIDTH;
const RUNS = 3;
const GOAL_RATIO = 0.6;
const GOAL_GROWTH_MIB = 64;

/**
 * Uploads of 1 GiB beside plain files of the same bytes, written and synced, in turns and all kept, so that both meet
 * the same disk and the same memory; the middle of three.
 */
export async function benchUpload(report: Report): Promise<void> {
  await withCoordinator({ vocab_size: VOCABULARY, n_embd: WIDTH }, async ({ url, dir, model, watch }) => {
    const memory = await watch();
    const [uploads, plain]: [number[], number[]] = [[], []];
    for (let run = 0; run < RUNS; run++) {
      plain.push(await rate(() => writePlain(join(dir, `plain-${run}`), pieceOf(run))));
      const file = fileOf(model, pieceOf(run));
      uploads.push(await rate(() => upload(url, file, '202')));
    }
    const growth = await memory.growthMib();
    report(
      figure({
        name: 'pol',
        metric: 'upload of 1 GiB',
        value: middle(uploads),
        unit: 'MiB/s',
        anchor: { name: 'the same bytes written and synced', value: middle(plain) },
        goal: { on: 'ratio', atLeast: GOAL_RATIO },
      }),
    );
    report(
      figure({
        name: 'pol',
        metric: 'memory that three uploads of 1 GiB add to the coordinator',
        value: growth,
        unit: 'MiB',
        goal: { on: 'value', atMost: GOAL_GROWTH_MIB },
      }),
    );
    const spoilt = new Uint8Array(pieceOf(RUNS));
    new DataView(spoilt.buffer).setFloat32(MIB - 4, Number.NaN, true);
    const refused = await watch();
    await upload(url, fileOf(model, pieceOf(RUNS), spoilt), 'WEIGHTS_NOT_FINITE');
    report(
      figure({
        name: 'pol',
        metric: 'memory that 1 GiB refused at its last value adds',
        value: await refused.growthMib(),
        unit: 'MiB',
        goal: { on: 'value', atMost: GOAL_GROWTH_MIB },
      }),
    );
  });
}

interface File {
  readonly header: Uint8Array;
  readonly piece: Uint8Array;
  readonly last: Uint8Array;
}

/** A MiB of one value each. */
function pieceOf(run: number): Uint8Array {
  return new Uint8Array(new Float32Array(MIB / 4).fill(0.25 + run).buffer);
}

function fileOf(model: ModelView, piece: Uint8Array, last = piece): File {
  const sha = createHash('sha256');
  for (let at = 0; at < BYTES - MIB; at += MIB) sha.update(piece);
  const payloadHash = new Uint8Array(sha.update(last).digest());
  const ref = { name: TENSOR, dtype: 'F32' as const, shape: [VOCABULARY, WIDTH], payloadHash };
  const content = { base: fromHex(model.root, 32), meta: fromHex(model.meta.hash, 32), tensors: [ref] };
  const { text } = signSubmission(fromHex(model.network, 32), content, newKeyPair());
  return { header: safetensorsHeader([ref], { [SUBMISSION_METADATA_KEY]: text }).header, piece, last };
}

/** Sends the file, as fast as it is taken; throws unless the answer is as expected: 202, or a code. */
async function upload(url: string, { header, piece, last }: File, expected: string): Promise<void> {
  const answer = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const headers = { 'content-length': header.length + BYTES };
    const post = request(new URL('/mine', url), { method: 'POST', headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
    });
    post.on('error', reject);
    post.write(header);
    let sent = 0;
    const send = (): void => {
      while (sent < BYTES) {
        sent += MIB;
        if (!post.write(sent < BYTES ? piece : last)) return void post.once('drain', send);
      }
      post.end();
    };
    send();
  });
  const got =
    answer.status < 300 ? String(answer.status) : errorBodySchema.parse(JSON.parse(answer.text)).error.code;
  if (got !== expected) throw new Error(`expected ${expected}, got ${got}: ${answer.text}`);
}

async function writePlain(path: string, piece: Uint8Array): Promise<void> {
  const handle = await open(path, 'w');
  try {
    for (let at = 0; at < BYTES; at += MIB) await handle.write(piece);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** MiB per second. */
async function rate(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return BYTES / MIB / ((performance.now() - startedMs) / 1000);
}

const middle = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
