import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { repositoryPath } from '#test/helpers/repository.ts';

/** Where distributions put Chromium, which brings SwiftShader, a Vulkan driver that computes on the processor. */
const FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'];
const DRIVER = 'vk_swiftshader_icd.json';

const folder = FOLDERS.find((path) => existsSync(join(path, DRIVER)));

describe('backend webgpu', () => {
  it('on a software GPU it computes as the others do', {
    skip: folder === undefined && `no ${DRIVER} beside a Chromium`,
  }, async () => {
    const { code, output } = await runWithDriver(folder as string);
    assert.equal(code, 0, output);
    assert.match(output, /backend webgpu/);
  });
});

/** The loader reads both variables when the process starts. */
async function runWithDriver(folder: string): Promise<{ code: number | null; output: string }> {
  const driver = { VK_ICD_FILENAMES: join(folder, DRIVER), LD_LIBRARY_PATH: folder };
  const args = ['--import', 'tsx', '--test', repositoryPath('test/conformance/on-webgpu.ts')];
  const child = spawn(execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...env, ...driver, NODE_TEST_CONTEXT: undefined },
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { output: await text(child.stdout), code: await ended };
}
