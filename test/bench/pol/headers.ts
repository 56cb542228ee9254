import { newKeyPair } from '#coordinator/store/key-files.ts';
import { errorBodySchema } from '#shared/api/common-schemas.ts';
import type { ModelView } from '#shared/api/schemas.ts';
import { concatBytes, fromHex, utf8ToBytes } from '#shared/crypto/bytes.ts';
import { SUBMISSION_METADATA_KEY, signSubmission } from '#shared/protocol/submission.ts';
import type { Dtype } from '#shared/weights/dtype.ts';
import { MAX_HEADER_BYTES, safetensorsHeader } from '#shared/weights/safetensors.ts';
import { type Running, withCoordinator } from '#test/bench/pol/coordinator.ts';
import { figure, type Report } from '#test/bench/report.ts';

const LAYERS = 12;
const RUNS = 3;
const GOAL_MS = 50;
const GOAL_GROWTH_MIB = 64;

/** Headers that lie, to a model of 148 tensors; each is sent as a whole where the pool would take it. */
export async function benchHeaders(report: Report): Promise<void> {
  await withCoordinator({ n_layer: LAYERS }, async (running) => {
    const cases = hostileHeaders(running.model);
    for (const [, bytes] of cases.slice(0, 2)) await refusal(running, bytes);
    const memory = await running.watch();
    let worst = { what: '', ms: 0 };
    for (const [what, bytes] of cases) {
      const times = [];
      for (let run = 0; run < RUNS; run++) times.push(await refusal(running, bytes));
      const ms = times.sort((a, b) => a - b)[Math.floor(RUNS / 2)] as number;
      if (ms > worst.ms) worst = { what, ms };
    }
    report(
      figure({
        name: 'pol',
        metric: `slowest refusal of ${cases.length} bad headers (${worst.what})`,
        value: worst.ms,
        unit: 'ms',
        goal: { on: 'value', atMost: GOAL_MS },
      }),
    );
    report(
      figure({
        name: 'pol',
        metric: 'memory that all of them add to the coordinator',
        value: await memory.growthMib(),
        unit: 'MiB',
        goal: { on: 'value', atMost: GOAL_GROWTH_MIB },
      }),
    );
  });
}

/** Milliseconds from the first byte of the request to the refusal. */
async function refusal({ url }: Running, body: Uint8Array): Promise<number> {
  const startedMs = performance.now();
  const response = await fetch(new URL('/upload_parameters', url), {
    method: 'POST',
    body: body as Uint8Array<ArrayBuffer>,
  });
  const ms = performance.now() - startedMs;
  errorBodySchema.parse(await response.json());
  if (response.status >= 500) throw new Error(`expected a refusal, got ${response.status}`);
  return ms;
}

/** A header of the model's size at most, so that all of it is looked at; longer ones are refused from their length. */
function hostileHeaders(model: ModelView): [string, Uint8Array][] {
  const most = 64 * 1024 + 2 * 1024 * model.tensors.length;
  const fill = (start: string, unit: string, end = '') =>
    start + unit.repeat(Math.floor((most - start.length - end.length) / unit.length)) + end;
  const entry = (name: string | number, offsets: string) =>
    `"${name}":{"dtype":"F32","shape":[1],"data_offsets":[${offsets}]}`;
  const entries = (count: number, offsets: (i: number) => string) =>
    `{${Array.from({ length: count }, (_, i) => entry(i, offsets(i))).join(',')}}`;
  const many = Math.floor(most / 70);
  const texts: [string, string][] = [
    ['entries of nothing', entries(many, (i) => `${i * 4},${i * 4 + 4}`)],
    ['entries on the same bytes', entries(many, () => '0,4')],
    ['nesting of lists', fill('', '[')],
    ['nesting of objects', fill('', '{"a":')],
    ['one key over and over', fill('{', `${entry('a', '0,4')},`)],
    ['one name', fill('{"', 'a', '":1}')],
    ['one name of escapes', fill('{"', '\\u0041', '":1}')],
    ['blanks', fill('{', ' ', '}')],
    ['digits', fill('{"a":', '1')],
    ['lists of numbers', fill('{"a":[', '[1,1,1,1,1,1,1,1],')],
    ['a shape beyond 2⁵³', `{"a":{"dtype":"F32","shape":[9007199254740991,9],"data_offsets":[0,4]}}`],
    ['manifest of empty tensors', manifest(`{"v":1,"tensors":[${fill('', '{},').slice(0, -2000)}{}]}`)],
    ['manifest of nesting', manifest(fill('{"v":1,"tensors":', '[').slice(0, -2000))],
    ['manifest of keys', manifest(fill('{"v":1', ',"\\u0061":0').slice(0, most / 2))],
  ];
  const framed = texts.map(([what, text]): [string, Uint8Array] => [what, frame(utf8ToBytes(text))]);
  const lengths: [string, Uint8Array][] = [2n ** 64n - 1n, 2n ** 56n, BigInt(MAX_HEADER_BYTES)].map((n) => [
    `a length of ${n}`,
    concatBytes(lengthOf(n), new Uint8Array(100)),
  ]);
  return [
    ...lengths,
    ['an entry 100,000 times', frame(utf8ToBytes(entries(100_000, (i) => `${i * 4},${i * 4 + 4}`)))],
    ['bytes that are no text', frame(new Uint8Array(most).fill(0xff))],
    ...framed,
    ['a wrong signature, the last of all', wrongSignature(model)],
  ];
}

function manifest(text: string): string {
  const escaped = JSON.stringify(text);
  return `{"__metadata__":{"${SUBMISSION_METADATA_KEY}":${escaped}},${`"transformer.wte.weight":{"dtype":"F32","shape":[300,16],"data_offsets":[0,19200]}`}}`;
}

function frame(json: Uint8Array): Uint8Array {
  return concatBytes(lengthOf(BigInt(json.length)), json);
}

function lengthOf(n: bigint): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, n, true);
  return out;
}

/** All tensors of the model in order, all signatures but the last valid. */
function wrongSignature(model: ModelView): Uint8Array {
  const tensors = model.tensors.map(({ name, dtype, shape }, i) => ({
    name,
    dtype: dtype as Dtype,
    shape,
    payloadHash: new Uint8Array(32).fill(i + 1),
  }));
  const content = { base: fromHex(model.root, 32), meta: fromHex(model.meta.hash, 32), tensors };
  const { text } = signSubmission(fromHex(model.network, 32), content, newKeyPair());
  const signed = JSON.parse(text) as { tensors: { signature: string }[] };
  const [first, last] = [signed.tensors[0], signed.tensors.at(-1)];
  if (first && last) last.signature = first.signature;
  return safetensorsHeader(tensors, { [SUBMISSION_METADATA_KEY]: JSON.stringify(signed) }).header;
}
