// The packages of package-lock.json.
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { npm, ROOT, step } from './step.mjs';

/** Of the package, or of `npm run setup:tensorflow`. */
const NATIVE_TENSORFLOW = [
  'node_modules/@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node',
  '.tensorflow/build/made.json',
];

/** Installs what package-lock.json names, unless exactly that is there already. */
export async function installPackages() {
  if (await isInstalled()) return;
  await step('packages of package-lock.json', async () => {
    // Development packages build the page and the kernels.
    await npm(['ci', '--no-audit', '--no-fund', '--include=dev', '--include=optional']);
    if ((await Promise.all(NATIVE_TENSORFLOW.map(exists))).includes(true)) return '';
    return 'native TensorFlow did not come with them; `npm run setup:tensorflow` builds it';
  });
}

/** npm writes down what it installed at the very end of an installation, so a broken one does not match. */
async function isInstalled() {
  const wanted = await packagesOf('package-lock.json');
  const present = await packagesOf('node_modules/.package-lock.json');
  if (wanted === undefined || present === undefined) return false;
  return Object.entries(wanted).every(([path, { version, optional, devOptional }]) => {
    if (path === '' || present[path]?.version === version) return true;
    return Boolean(optional || devOptional) && present[path] === undefined;
  });
}

async function packagesOf(lockFile) {
  try {
    return JSON.parse(await readFile(join(ROOT, lockFile), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

function exists(path) {
  return access(join(ROOT, path)).then(
    () => true,
    () => false,
  );
}
