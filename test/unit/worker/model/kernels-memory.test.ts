import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';
import v8 from 'node:v8';
import { assertClose, randomIds, randomValues } from '#test/helpers/tensors.ts';
import { buildKernels } from '#worker/model/kernels/build.mjs';
import type { Assembly } from '#worker/model/kernels/wasm-kernels.ts';

/** What the compiler's types have for browsers only. */
declare const WebAssembly: {
  Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  validate(bytes: Uint8Array): boolean;
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: unknown } }>;
};

const PAGES = 64;
const BYTES = PAGES * 65_536;
/** Values beside every operand that nobody may change, and that spoil whatever they are read into. */
const GUARD = 32;

type Operand =
  | { readonly kind: 'in'; readonly values: Float32Array | Int32Array }
  | { readonly kind: 'out'; readonly size: number }
  | { readonly kind: 'both'; readonly values: Float32Array };

/** A kernel with operands in their order; `call` is given their addresses and scratch. */
interface Case {
  readonly name: string;
  readonly operands: readonly Operand[];
  call(asm: Assembly, at: number[], scratch: number): void;
}

let seed = 0;
const input = (count: number, scale = 1): Operand => ({
  kind: 'in',
  values: randomValues(count, ++seed, scale),
});
const ids = (count: number, below: number): Operand => ({
  kind: 'in',
  values: randomIds(count, ++seed, below),
});
const output = (size: number): Operand => ({ kind: 'out', size });
const both = (count: number): Operand => ({
  kind: 'both',
  values: randomValues(count, ++seed).map(Math.abs),
});

const cases: Case[] = [];

// Rows on both sides of the border between the two ways to multiply; widths off and on the tiles.
for (const m of [1, 2, 3, 31, 33, 67]) {
  for (const [n, k] of [
    [1, 1],
    [5, 3],
    [7, 20],
    [9, 64],
    [530, 33],
    [20, 261],
  ] as const) {
    for (const [ta, tb] of [
      [0, 0],
      [0, 1],
      [1, 0],
    ] as const) {
      cases.push({
        name: `matmul ${m}×${n}×${k}, transposed ${ta} ${tb}`,
        operands: [input(m * k), input(k * n), input(n), output(m * n)],
        call: (asm, [a, b, bias, c], scratch) => {
          asm.matmul(m, n, k, a!, ta ? m : k, ta, b!, tb ? k : n, tb, c!, n, 0, bias!, scratch);
        },
      });
    }
  }
}

for (const [rows, C] of [
  [1, 1],
  [3, 5],
  [2, 20],
] as const) {
  const size = rows * C;
  cases.push(
    {
      name: `norm ${rows}×${C}`,
      operands: [input(size), input(C), input(C), output(size), output(rows), output(rows)],
      call: (asm, [x, gain, bias, y, means, sds]) => {
        asm.norm(x!, gain!, bias!, rows, C, 1e-5, y!, means!, sds!);
      },
    },
    {
      name: `RMS norm ${rows}×${C}`,
      operands: [input(size), input(C), output(size), output(rows)],
      call: (asm, [x, gain, y, rms]) => {
        asm.norm(x!, gain!, 0, rows, C, 1e-5, y!, 0, rms!);
      },
    },
    {
      name: `gradient of norm ${rows}×${C}`,
      operands: [
        ...[size, size, C, rows, rows].map((count) => input(count)),
        ...[size, C, C].map((count) => output(count)),
      ],
      call: (asm, [dy, x, gain, means, sds, dx, dgain, dbias]) => {
        asm.normGrad(dy!, x!, gain!, means!, sds!, rows, C, dx!, dgain!, dbias!);
      },
    },
    {
      name: `pointwise ${size}`,
      operands: [input(size, 9), input(size), input(size), ...Array.from({ length: 5 }, () => output(size))],
      call: (asm, [x, y, dy, a, b, c, d, e]) => {
        asm.gelu(x!, a!, size);
        asm.geluGrad(dy!, x!, b!, size);
        asm.swiglu(x!, y!, c!, size);
        asm.swigluGrad(dy!, x!, y!, d!, e!, size);
      },
    },
    {
      name: `columns of ${rows}×${C}`,
      operands: [input(size), output(rows), output(C)],
      call: (asm, [x, last, sums]) => {
        asm.copyColumns(x!, rows, C, C - 1, 1, last!);
        asm.sumRows(x!, rows, C, sums!);
      },
    },
    {
      name: `AdamW ${size}`,
      operands: [both(size), both(size), both(size), input(size)],
      call: (asm, [w, m, v, g]) => {
        asm.adamW(w!, m!, v!, g!, size, 0.9, 0.99, 1e-8, 0.1, 1, 0.99, 1);
      },
    },
    {
      name: `table of ${rows + 1}×${C}`,
      operands: [input((rows + 1) * C), ids(rows, rows + 1), output(size), output((rows + 1) * C)],
      call: (asm, [table, places, out, sums]) => {
        asm.gather(table!, places!, rows, C, out!);
        asm.scatterAdd(out!, places!, rows, C, rows + 1, sums!);
      },
    },
  );
}

for (const [rows, heads, half] of [
  [1, 1, 1],
  [3, 2, 5],
  [2, 3, 8],
] as const) {
  const size = rows * heads * 2 * half;
  cases.push({
    name: `rope ${rows} rows, ${heads} heads of ${2 * half}`,
    operands: [input(size), input(rows * half), input(rows * half), output(size)],
    call: (asm, [x, cos, sin, out]) => {
      asm.rope(x!, cos!, sin!, rows, heads, half, 1, out!);
    },
  });
}

for (const [n, C, V] of [
  [1, 3, 5],
  [3, 20, 1026],
  [33, 4, 7],
] as const) {
  cases.push({
    name: `head ${n}×${C}, vocabulary ${V}`,
    operands: [input(n * C), input(V * C), ids(n, V), ...[n, 1, n * C, V * C].map((count) => output(count))],
    call: (asm, [h, head, labels, losses, loss, dh, dhead], scratch) => {
      asm.headLosses(h!, head!, labels!, n, C, V, losses!, scratch);
      asm.headMeanLoss(h!, head!, labels!, n, C, V, loss!, dh!, dhead!, scratch);
    },
  });
}

for (const D of [1, 5, 20, 64, 80, 128]) {
  for (const [sequences, time, heads, kvHeads, window] of [
    [1, 1, 1, 1, 0],
    [2, 3, 3, 1, 2],
    [1, 17, 3, 3, 0],
    [1, 70, 2, 1, 66],
  ] as const) {
    const shape = [heads, kvHeads, D, window] as const;
    const [q, kv, sums] = [
      sequences * time * heads * D,
      sequences * time * kvHeads * D,
      sequences * time * heads,
    ];
    cases.push({
      name: `attention ${sequences}×${time}, ${heads}/${kvHeads} heads of ${D}, window ${window}`,
      operands: [
        ...[q, kv, kv, q].map((count) => input(count)),
        ...[q, sums, q, kv, kv].map((count) => output(count)),
      ],
      call: (asm, [q, k, v, dout, out, logs, dq, dk, dv], scratch) => {
        asm.attention(q!, k!, v!, sequences, time, ...shape, out!, logs!, scratch);
        asm.attentionGrad(dout!, q!, k!, v!, out!, logs!, sequences, time, ...shape, dq!, dk!, dv!, scratch);
      },
    });
    const past = 9;
    const rows = kvHeads * D;
    cases.push({
      name: `attention of ${time} more, ${heads}/${kvHeads} heads of ${D}, window ${window}`,
      operands: [
        ...[time * heads * D, time * rows, time * rows].map((count) => input(count)),
        both((past + time) * rows),
        both((past + time) * rows),
        output(time * heads * D),
      ],
      call: (asm, [q, k, v, keys, values, out], scratch) => {
        asm.attentionCached(q!, k!, v!, keys!, values!, past, time, ...shape, out!, scratch);
      },
    });
  }
}

const firstResults = new Map<string, number[]>();

for (const file of ['kernels.wasm', 'kernels-fused.wasm']) {
  describe(`operands of ${file}`, () => {
    const memory = new WebAssembly.Memory({ initial: PAGES });
    let asm: Assembly;

    before(async () => {
      await buildKernels();
      const bytes = await readFile(new URL(`../../../../worker/model/kernels/${file}`, import.meta.url));
      // Node 20 wants to be told; later ones do not know the flag any more.
      if (!WebAssembly.validate(bytes)) v8.setFlagsFromString('--experimental-wasm-relaxed-simd');
      const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } });
      asm = instance.exports as Assembly;
    });

    for (const { name, operands, call } of cases) {
      it(`${name}: the same from both builds, nothing beside the operands read or written`, () => {
        // Each operand in turn lies at the very end of the memory, where one value further is a trap.
        const results = operands.map((_, last) => run({ memory, asm, operands, call, last }));
        for (const [last, result] of results.entries()) {
          assert.ok(result.every(Number.isFinite), `operand ${last} last: not all is finite`);
          assert.deepEqual(result, results[0], `operand ${last} last: other values`);
        }
        const result = results[0]!;
        assertClose(result, firstResults.get(name) ?? result, { what: 'one build against the other' });
        firstResults.set(name, result);
      });
    }
  });
}

interface Run extends Omit<Case, 'name'> {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly asm: Assembly;
  readonly last: number;
}

/** All that the kernel wrote, with guards between the operands checked. */
function run({ memory, asm, operands, call, last }: Run): number[] {
  const all = new Float32Array(memory.buffer);
  all.fill(Number.NaN);
  const places: number[] = [];
  let next = GUARD;
  for (const [i, operand] of operands.entries()) {
    const size = sizeOf(operand);
    places.push(i === last ? BYTES / 4 - size : next);
    // Sixteen bytes aligned, as the allocator gives them.
    if (i !== last) next += Math.ceil(size / 4) * 4 + GUARD;
    if (operand.kind === 'in' && operand.values instanceof Int32Array) {
      new Int32Array(memory.buffer, places[i]! * 4, size).set(operand.values);
    } else if (operand.kind !== 'out') {
      all.set(operand.values, places[i]);
    }
  }
  call(
    asm,
    places.map((place) => place * 4),
    Math.ceil((next * 4) / 64) * 64,
  );
  for (const [i, operand] of operands.entries()) {
    const [start, end] = [places[i]!, places[i]! + sizeOf(operand)];
    for (const guard of [
      ...all.subarray(start - GUARD, start),
      ...(i === last ? [] : all.subarray(end, end + GUARD)),
    ]) {
      assert.ok(Number.isNaN(guard), `operand ${i}: written beside`);
    }
  }
  return operands.flatMap((operand, i) =>
    operand.kind === 'in' ? [] : [...all.subarray(places[i]!, places[i]! + sizeOf(operand))],
  );
}

function sizeOf(operand: Operand): number {
  return operand.kind === 'out' ? operand.size : operand.values.length;
}
