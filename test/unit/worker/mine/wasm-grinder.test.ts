import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { grinderConformance } from '#test/conformance/grinder.ts';
import { build } from '#worker/mine/build.mjs';
import { createWasmGrinder } from '#worker/mine/wasm-grinder.ts';

before(async () => {
  await build();
});

grinderConformance('WebAssembly SIMD, one thread', () => createWasmGrinder({ threads: 1 }));
grinderConformance('WebAssembly SIMD, three threads', () => createWasmGrinder({ threads: 3 }));

describe('createWasmGrinder', () => {
  it('OPTION: refuses a number of threads that is none', async () => {
    for (const threads of [0, -1, 1.5, Number.NaN, 257]) {
      await assert.rejects(createWasmGrinder({ threads }), { code: 'OPTION' });
    }
  });
});

describe('build', () => {
  it('does nothing when grinder.wasm is up to date', async () => {
    assert.equal((await build()).built, false);
  });
});
