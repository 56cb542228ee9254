import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const MET = { name: 'good', metric: 'rate', value: 3, unit: '/s', anchor: 'plain', anchorValue: 1, ratio: 3 };

let folder: string;

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(...args: string[]): Promise<Ended> {
  const argv = ['--import', 'tsx', 'test/bench/run.ts', ...args, '--folder', folder];
  const child = spawn(process.execPath, argv, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}

function fixture(name: string, text: string): Promise<void> {
  return writeFile(join(folder, `${name}.ts`), text);
}

describe('bench and drill', () => {
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiblock-bench-'));
    const met = JSON.stringify({ ...MET, goal: 'ratio >= 2', ok: true });
    const missed = JSON.stringify({ ...MET, name: 'bad', goal: 'ratio >= 4', ok: false });
    await fixture(
      'good',
      `/** Always fast: see below. */\nexport async function bench(report) { report(${met}); }\n`,
    );
    await fixture('bad', `export function bench(report) { report(${missed}); }\n`);
    await fixture('broken', `export function bench() { throw new Error('no compute backend'); }\n`);
    await fixture('silent', 'export function bench() {}\n');
    await fixture(
      'crash',
      `/** Kills a worker. */\nexport async function drill(report) { report(${met}); }\n`,
    );
    await fixture('helper', 'export function help() {}\n');
  });
  after(() => rm(folder, { recursive: true }));

  it('lists what there is, with what it does', async () => {
    const benches = await run('bench');
    assert.equal(benches.code, 0);
    assert.match(benches.out, /^bad\nbroken\ngood {4}Always fast\nsilent\n\nnpm run bench -- NAME/);
    const drills = await run('drill', '--json');
    assert.equal(drills.code, 0);
    assert.deepEqual(JSON.parse(drills.out), { name: 'crash', about: 'Kills a worker' });
  });

  it('exits 0 and prints a table where every goal is met', async () => {
    const { code, out } = await run('bench', 'good');
    assert.equal(code, 0);
    assert.match(
      out,
      /^bench good\n\nmetric +value +anchor +ratio +goal\n.*\nrate +3 \/s +plain: 1 \/s +3x +ratio >= 2 +ok\n/,
    );
    assert.ok(!out.includes('\u001b'), 'no colours into a pipe');
  });

  it('prints one line of JSON for a figure, and nothing else', async () => {
    const { code, out } = await run('drill', 'crash', '--json');
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(out), { ...MET, goal: 'ratio >= 2', ok: true });
    assert.equal(out.trim().split('\n').length, 1);
  });

  it('exits 1 where a goal is missed', async () => {
    const { code, out } = await run('bench', 'bad');
    assert.equal(code, 1);
    assert.match(out, /MISSED/);
  });

  it('exits 1 where a run fails or reports nothing, and says so', async () => {
    const broken = await run('bench', 'broken');
    assert.equal(broken.code, 1);
    assert.match(broken.err, /bench broken failed: Error: no compute backend/);
    const silent = await run('bench', 'silent', '--json');
    assert.equal(silent.code, 1);
    assert.match(silent.err, /reported no figure/);
  });

  it('runs all of them to the end, and exits 1 for one that missed', async () => {
    const { code, out, err } = await run('bench', 'all', '--json');
    assert.equal(code, 1);
    const names = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).name);
    assert.deepEqual(names, ['bad', 'good']);
    assert.match(err, /broken/);
  });

  it('exits 2 for wrong usage, and tells the right one', async () => {
    for (const args of [['bench', 'nothing'], ['race'], [], ['bench', '--fast'], ['drill', 'good']]) {
      const { code, out, err } = await run(...args);
      assert.equal(code, 2, args.join(' '));
      assert.equal(out, '');
      assert.match(err, /usage: npm run bench\|drill/);
    }
  });
});
