// `npm test [-- GROUP [PART OF A FILE NAME]]`: sets up, then type check, lint and all tests.
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reportAndExit, setup } from '../coordinator/deploy/setup.mjs';
import { ROOT } from '../coordinator/deploy/step.mjs';

/**
 * In the order in which faults are found soonest. `atOnce` suits two cores: files that start processes of their
 * own run alone. A file over its time is ended and fails.
 */
const GROUPS = {
  checks: { folders: ['test/checks'], atOnce: 2, fileLimitMs: 60_000 },
  unit: { folders: ['test/unit'], atOnce: 2, fileLimitMs: 120_000 },
  conformance: { folders: ['test/conformance'], atOnce: 2, fileLimitMs: 180_000 },
  integration: { folders: ['test/integration'], atOnce: 2, fileLimitMs: 180_000 },
  e2e: { folders: ['test/e2e'], without: 'test/e2e/browser/', atOnce: 1, fileLimitMs: 420_000 },
  browser: { folders: ['test/browser', 'test/e2e/browser'], atOnce: 1, fileLimitMs: 240_000 },
};
const CI = !['', 'false', '0'].includes(process.env.CI ?? '');

const [onlyGroup, onlyFile = ''] = process.argv.slice(2);
if (onlyGroup !== undefined && !Object.hasOwn(GROUPS, onlyGroup)) {
  console.error(`npm test -- ${onlyGroup}: expected one of ${Object.keys(GROUPS).join(', ')}`);
  process.exit(1);
}

const total = { tests: 0, pass: 0, fail: 0, skipped: 0 };
const failures = [];
const skips = [];
const startedAt = performance.now();
const seconds = () => `${((performance.now() - startedAt) / 1000).toFixed(0)} s`;

try {
  for (const { name, why } of await setup({ for: 'test' })) skips.push(`${name} is missing: ${why}`);
} catch (error) {
  reportAndExit(error);
}
if (onlyGroup === undefined || (onlyGroup === 'checks' && onlyFile === '')) {
  await check('type check', ['node_modules/typescript/bin/tsc', '--noEmit']);
  await check('lint', ['node_modules/@biomejs/biome/bin/biome', 'check', '.']);
}
for (const name of Object.keys(GROUPS)) {
  if (onlyGroup === undefined || onlyGroup === name) await runGroup(name);
}
process.exitCode = report();

async function check(name, args) {
  console.log(`\n== ${name}`);
  if ((await node(args)) !== 0) failures.push(name);
}

async function runGroup(name) {
  const { folders, without = '\0', atOnce, fileLimitMs } = GROUPS[name];
  const files = (await Promise.all(folders.map(testFilesIn))).flat();
  const chosen = files.filter((file) => !file.startsWith(without) && file.includes(onlyFile));
  if (chosen.length === 0) return;
  console.log(`\n== ${name}: ${chosen.length} files (${seconds()})`);
  const folder = await mkdtemp(join(tmpdir(), 'aiblock-run-'));
  const result = join(folder, 'result.json');
  const code = await node([
    ...['--import', 'tsx', '--test', `--test-concurrency=${atOnce}`, `--test-timeout=${fileLimitMs}`],
    ...['--test-reporter=./test/helpers/files-reporter.mjs', '--test-reporter-destination=stdout'],
    ...['--test-reporter=./test/helpers/result-reporter.mjs', `--test-reporter-destination=${result}`],
    ...chosen,
  ]);
  const text = await readFile(result, 'utf8').catch(() => '');
  await rm(folder, { recursive: true });
  collect(name, code, text === '' ? undefined : JSON.parse(text));
}

function collect(name, code, result) {
  for (const count of Object.keys(total)) total[count] += result?.[count] ?? 0;
  failures.push(...(result?.failures ?? []));
  skips.push(...(result?.skips ?? []));
  if (code !== 0 && !result?.failures.length) failures.push(`${name}: the test runner ended with ${code}`);
}

async function testFilesIn(folder) {
  const entries = await readdir(join(ROOT, folder), { recursive: true }).catch((error) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return entries
    .filter((name) => name.endsWith('.test.ts'))
    .sort()
    .map((name) => `${folder}/${name}`);
}

/** Exit code of Node with these arguments, its output shown. */
function node(args) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('close', (code, signal) => resolve(code ?? signal));
  });
}

function report() {
  console.log('');
  if (skips.length > 0) console.log(`Skipped${CI ? ', which fails under CI' : ''}:\n  ${skips.join('\n  ')}`);
  if (failures.length > 0) console.log(`Failed:\n  ${failures.join('\n  ')}`);
  if (total.tests === 0) console.log('No test ran.');
  for (const [count, value] of Object.entries(total)) console.log(`# ${count} ${value}`);
  const failed = failures.length > 0 || total.tests === 0 || (CI && skips.length > 0);
  console.log(
    `${failed ? 'FAILED' : 'OK'}: ${total.pass} passed, ${total.fail} failed, ${total.skipped} skipped, ${seconds()}`,
  );
  return failed ? 1 : 0;
}
