import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BACKENDS } from '#shared/env.ts';
import { silentLog } from '#worker/log.ts';
import { chooseBackend, describeBackend } from '#worker/model/backend/choose.ts';

const with_ = { log: silentLog, signal: new AbortController().signal };

describe('chooseBackend', () => {
  it('auto: takes the fastest that computes rightly and says why not the others', async () => {
    const choice = await chooseBackend('auto', with_);
    assert.ok(choice.gflops > 0);
    assert.equal(choice.software, false);
    for (const other of BACKENDS.filter((name) => name !== choice.name)) {
      const note = choice.notes.find((text) => text.includes(other)) ?? '';
      assert.match(note, /^backend \w+: ./, other);
    }
  });

  it('takes the one that is asked for, and tells what it is', async () => {
    const choice = await chooseBackend('wasm', with_);
    assert.equal(choice.name, 'wasm');
    assert.deepEqual(choice.notes, []);
    assert.match(describeBackend(choice), /^wasm: WebAssembly on .+, [\d.]+ GB, [\d.e+]+ GFLOP\/s$/);
  });

  it('BACKEND: a forced backend that cannot be had', {
    skip: process.platform !== 'linux' && 'only Linux can be told to have no Vulkan driver',
  }, async (t) => {
    const before = process.env.VK_DRIVER_FILES;
    process.env.VK_DRIVER_FILES = '/nowhere.json';
    t.after(() => {
      if (before === undefined) delete process.env.VK_DRIVER_FILES;
      else process.env.VK_DRIVER_FILES = before;
    });
    await assert.rejects(chooseBackend('webgpu', with_), { code: 'BACKEND', message: /^backend webgpu: ./ });
  });

  it('stops when it is told to', async () => {
    const stop = new AbortController();
    const choice = chooseBackend('auto', { log: silentLog, signal: stop.signal });
    stop.abort(new Error('enough'));
    await assert.rejects(choice, /enough/);
  });
});
