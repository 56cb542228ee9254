import assert from 'node:assert/strict';
import { env } from 'node:process';
import { before, describe, it } from 'node:test';
import { grinderConformance } from '#test/conformance/grinder.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import { noSoftwareGpu, SOFTWARE_GPU } from '#test/helpers/software-gpu.ts';
import { createWebgpuGrinder } from '#worker/mine/webgpu-grinder.ts';

const open = () => createWebgpuGrinder({ allowSoftware: true }, keptLog().log);

// The grinder computes in a process of its own, which gets this environment.
before(() => void Object.assign(env, SOFTWARE_GPU));

describe('WebGPU on a software GPU', { skip: noSoftwareGpu }, () => {
  grinderConformance('WebGPU', open);

  it('stops within 100 ms of an abort', async () => {
    const grinder = await open();
    try {
      const header = new Uint8Array(264);
      const endless = { header, target: 0n, start: 0n, count: 1n << 63n };
      const stopsMs: number[] = [];
      for (let i = 0; i < 5; i++) {
        const abort = new AbortController();
        const running = grinder.grind(endless, abort.signal);
        await new Promise((resolve) => setTimeout(resolve, 150));
        const began = performance.now();
        abort.abort();
        await running;
        stopsMs.push(performance.now() - began);
      }
      // The fastest: what a busy machine adds is not the grinder's.
      assert.ok(Math.min(...stopsMs) < 100, stopsMs.join());
    } finally {
      await grinder.close();
    }
  });

  it('BACKEND: refuses a GPU that is played by the processor, unless told otherwise', async () => {
    await assert.rejects(createWebgpuGrinder({ allowSoftware: false }, keptLog().log), {
      code: 'BACKEND',
      message: /swiftshader.* is no real GPU/,
    });
  });
});
