// Builds what cannot run from source: the WebAssembly modules and the web page.
import { createHash } from 'node:crypto';
import { access, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isProgram, ROOT, run, step } from './step.mjs';

/** Each does nothing where its output was made from the same sources. */
const MODULES = ['worker/mine/build.mjs', 'worker/model/kernels/build.mjs'];
const PAGE = 'coordinator/web/app';
const PAGE_CONFIG = `${PAGE}/vite.config.ts`;
const PAGE_STAMP = 'coordinator/web/dist/.built-from';
/** What the page is made from. */
const PAGE_SOURCES = [PAGE, 'shared', 'package-lock.json'];

/** Builds what is missing or older than its sources, by their content. */
export async function build() {
  await buildModules();
  if (await exists(PAGE_CONFIG)) await buildPage();
}

/** The WebAssembly modules alone, which a worker computes with; `log` tells what was compiled. */
export async function buildModules(log = console.log) {
  for (const script of MODULES) if (await exists(script)) await buildModule(script, log);
}

/** As a process of its own, because the compiler keeps some hundred MiB. */
async function buildModule(script, log) {
  const startedAt = performance.now();
  const output = await run(process.execPath, [script]);
  if (/up to date/.test(output)) return;
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  log(`set-up: compiled ${script.replace(/\/build\.mjs$/, '')} (${seconds} s)`);
}

async function buildPage() {
  const source = await hashOf(PAGE_SOURCES);
  const built = await readFile(join(ROOT, PAGE_STAMP), 'utf8').catch(() => '');
  if (built === source) return;
  await step('web page', async () => {
    await run(process.execPath, ['node_modules/vite/bin/vite.js', 'build', '--config', PAGE_CONFIG]);
    await writeFile(join(ROOT, PAGE_STAMP), source);
  });
}

async function hashOf(paths) {
  const hash = createHash('sha256');
  for (const path of paths) {
    for (const file of await filesIn(path)) {
      hash.update(`\0${file}\0`).update(await readFile(join(ROOT, file)));
    }
  }
  return hash.digest('hex');
}

/** The path itself if it is a file; sorted, so that the order of the file system does not matter. */
async function filesIn(path) {
  const entries = await readdir(join(ROOT, path), { recursive: true, withFileTypes: true }).catch((error) => {
    if (error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  if (entries === undefined) return [path];
  const files = entries.filter((entry) => entry.isFile());
  return files.map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(ROOT.length)).sort();
}

function exists(path) {
  return access(join(ROOT, path)).then(
    () => true,
    () => false,
  );
}

if (isProgram(import.meta.url)) {
  try {
    await build();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
