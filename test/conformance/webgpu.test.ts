import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { env, execPath } from 'node:process';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { repositoryPath } from '#test/helpers/repository.ts';
import { noSoftwareGpu, SOFTWARE_GPU } from '#test/helpers/software-gpu.ts';

describe('backend webgpu', () => {
  it('on a software GPU it computes as the others do', {
    skip: noSoftwareGpu,
  }, async () => {
    const { code, output } = await runWithDriver();
    assert.equal(code, 0, output);
    assert.match(output, /backend webgpu/);
  });
});

async function runWithDriver(): Promise<{ code: number | null; output: string }> {
  const args = ['--import', 'tsx', '--test', repositoryPath('test/conformance/on-webgpu.ts')];
  const child = spawn(execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...env, ...SOFTWARE_GPU, NODE_TEST_CONTEXT: undefined },
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { output: await text(child.stdout), code: await ended };
}
