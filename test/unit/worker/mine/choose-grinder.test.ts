import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolError } from '#shared/errors/pool-error.ts';
import { keptLog } from '#test/helpers/quiet-log.ts';
import { chooseGrinder, type GrinderMakers } from '#worker/mine/choose-grinder.ts';
import type { Grinder } from '#worker/mine/grinder.ts';

/** Grinders that hash at these rates, or cannot be had. */
function makers(rates: Partial<Record<keyof GrinderMakers, number>>) {
  const open = new Set<string>();
  const made: string[] = [];
  const make = (name: keyof GrinderMakers) => async (): Promise<Grinder> => {
    made.push(name);
    const rate = rates[name];
    if (rate === undefined) throw new PoolError('BACKEND', `no ${name}`);
    open.add(name);
    return {
      threads: 1,
      device: 'cpu',
      grind: async () => ({ nonce: null, hashes: BigInt(rate), ms: 1 }),
      pause: () => {},
      resume: () => {},
      close: async () => void open.delete(name),
    };
  };
  return { open, made, make: { wasm: make('wasm'), webgpu: make('webgpu'), js: make('js') } };
}

const choose = async (
  wanted: Parameters<typeof chooseGrinder>[0],
  rates: Parameters<typeof makers>[0],
  hasGpu = true,
) => {
  const { make, open, made } = makers(rates);
  const { name } = await chooseGrinder(wanted, make, { log: keptLog().log, hasGpu });
  return { name, made, open: [...open] };
};

describe('chooseGrinder', () => {
  it('takes the faster one and closes the other', async () => {
    const both = ['wasm', 'webgpu'];
    assert.deepEqual(await choose('auto', { wasm: 9, webgpu: 50 }), {
      name: 'webgpu',
      made: both,
      open: ['webgpu'],
    });
    assert.deepEqual(await choose('auto', { wasm: 9, webgpu: 5 }), {
      name: 'wasm',
      made: both,
      open: ['wasm'],
    });
  });

  it('asks for no GPU where there is none, and goes on without what fails', async () => {
    assert.deepEqual((await choose('auto', { wasm: 9, webgpu: 50 }, false)).made, ['wasm']);
    assert.equal((await choose('auto', { wasm: 9 })).name, 'wasm');
    assert.equal((await choose('auto', { webgpu: 1 })).name, 'webgpu');
    assert.equal((await choose('auto', { js: 1 })).name, 'js');
  });

  it('BACKEND: the one that is wanted cannot be had', async () => {
    await assert.rejects(choose('webgpu', { wasm: 9 }), { code: 'BACKEND' });
    assert.deepEqual(await choose('wasm', { wasm: 1, webgpu: 50 }), {
      name: 'wasm',
      made: ['wasm'],
      open: ['wasm'],
    });
  });
});
