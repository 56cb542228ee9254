#!/usr/bin/env node
// Runs a command of the product through tsx, in this process.
import { existsSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const LAUNCHER = fileURLToPath(import.meta.url);
/** These work against a pool and belong to the worker's side; all others are the coordinator's. */
const WORKER_COMMANDS = [
  'worker',
  'miner',
  'train',
  'submit',
  'upload',
  'wallet',
  'meta',
  'chat',
  'verify',
  'proof',
  'ledger',
  'receipts',
  'doctor',
  'export',
];

/** These compute with the WebAssembly modules. */
const COMPUTING = ['worker', 'miner', 'train'];
const COMPILED = ['../../worker/mine/grinder.wasm', '../../worker/model/kernels/kernels.wasm'];

/** Runs the command line program with these arguments; it reads them from process.argv as usual. */
export async function launch(args) {
  let tsx;
  try {
    tsx = await import('tsx/esm/api');
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    const root = fileURLToPath(new URL('../../', import.meta.url));
    console.error(`aiblock: the packages are not installed; run \`npm ci\` in ${root} first.`);
    process.exit(1);
  }
  endWithParent();
  if (COMPUTING.includes(args[0])) await compileMissing();
  process.argv = [process.execPath, LAUNCHER, ...args];
  process.setSourceMapsEnabled(true);
  tsx.register();
  await import(WORKER_COMMANDS.includes(args[0]) ? '../../worker/main.ts' : '../main.ts');
}

/** After `npm ci` alone the modules are missing: without them everything works, at a fraction of the speed. */
async function compileMissing() {
  if (COMPILED.every((path) => existsSync(new URL(path, import.meta.url)))) return;
  try {
    const { buildModules } = await import('../deploy/build.mjs');
    await buildModules(console.error);
  } catch (error) {
    console.error(`aiblock: the WebAssembly modules could not be compiled: ${error.message}`);
  }
}

/** A command that `aiblock up` started stops when its parent is gone, even by kill -9. */
function endWithParent() {
  if (!process.channel) return;
  process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel.unref();
}

// npm installs the command as a link to this file.
if (process.argv[1] && realpathSync(process.argv[1]) === LAUNCHER) await launch(process.argv.slice(2));
