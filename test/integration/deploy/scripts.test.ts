import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tempDir } from '#test/helpers/temp-dir.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const { NODE_TEST_CONTEXT: _, ...outside } = env;

function node(args: readonly string[], cwd = root) {
  return spawnSync(execPath, args, { cwd, env: outside, encoding: 'utf8' });
}

it('aiblock says in one line that the packages are missing', async () => {
  const dir = await tempDir();
  await mkdir(join(dir, 'coordinator', 'cli'), { recursive: true });
  const launcher = join(dir, 'coordinator', 'cli', 'aiblock.mjs');
  await cp(join(root, 'coordinator', 'cli', 'aiblock.mjs'), launcher);
  const { status, stderr } = node([launcher, 'up'], dir);
  assert.equal(status, 1);
  assert.match(stderr, /^aiblock: the packages are not installed; run `npm ci` in .*\n$/);
});

it('npm test refuses an unknown group, and fails when no test ran', () => {
  const unknown = node(['test/run.mjs', 'units']);
  assert.equal(unknown.status, 1);
  assert.match(unknown.stderr, /expected one of checks, unit, conformance/);
  const none = node(['test/run.mjs', 'unit', 'a name that no file has']);
  assert.equal(none.status, 1);
  assert.match(none.stdout, /No test ran\..*# tests 0.*FAILED/s);
});

it('npm test counts what passed, failed and was skipped, by name', async () => {
  const dir = await tempDir();
  const sample = `
    import { describe, it } from 'node:test';
    describe('suite', () => {
      it('passes', () => {});
      it('fails', () => { throw new Error('no'); });
      it('waits', { skip: 'no prometheus' }, () => {});
    });`;
  await writeFile(join(dir, 'sample.test.mjs'), sample);
  await writeFile(join(dir, 'broken.test.mjs'), `import './none.mjs';`);
  const result = join(dir, 'result.json');
  const reporter = join(root, 'test', 'helpers', 'result-reporter.mjs');
  const flags = [`--test-reporter=${reporter}`, `--test-reporter-destination=${result}`];
  const { status } = node(['--test', ...flags, 'sample.test.mjs', 'broken.test.mjs'], dir);
  assert.equal(status, 1);
  assert.deepEqual(JSON.parse(await readFile(result, 'utf8')), {
    ...{ tests: 4, pass: 1, fail: 2, skipped: 1 },
    failures: ['broken.test.mjs', 'sample.test.mjs: fails'],
    skips: ['sample.test.mjs: waits: no prometheus'],
  });
});
