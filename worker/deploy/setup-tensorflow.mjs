// `npm run setup:tensorflow [-- --cuda]`: native TensorFlow for the worker, where the binary of
// @tensorflow/tfjs-node(-gpu) cannot be had or is too old for the GPU. Compiles that package's addon against the
// libtensorflow of a TensorFlow wheel. Needs a C++ compiler; changes nothing outside `.tensorflow`.
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { installPackages } from '../../coordinator/deploy/packages.mjs';
import { reportAndExit } from '../../coordinator/deploy/setup.mjs';
import { findProgram, ROOT, run, SetupError, step } from '../../coordinator/deploy/step.mjs';
import { fetchPackage, fetchWheel } from './fetch-pinned.mjs';
import { unzip } from './unzip.mjs';

/** What worker/model/backend looks for. Complete or absent: it is made beside and then renamed. */
const BUILD = join(ROOT, '.tensorflow/build');
const PARTIAL = `${BUILD}.partial`;
const DOWNLOADS = join(ROOT, '.tensorflow/downloads');
/** The wheels unpacked as Python would, since their libraries find each other by relative paths. */
const SITE = 'site-packages';

const PACKAGES = [
  {
    name: '@tensorflow/tfjs-node',
    version: '4.22.0',
    sha512: 'uHrXeUlfgkMxTZqHkESSV7zSdKdV0LlsBeblqkuKU9nnfxB1pC6DtoyYVaLxznzZy7WQSegjcohxxCjAf6Dc7w==',
  },
  {
    name: 'google-protobuf',
    version: '3.21.4',
    sha512: 'MnG7N936zcKTco4Jd2PX2U96Kf9PxygAPKBug+74LHzmHXmceN16MmRcdgZv+DGef/S9YvQAfRsNCn4cjf9yyQ==',
  },
  {
    name: 'node-api-headers',
    version: '1.9.0',
    sha512: '2oNILP4jXwRB4ywnYKjVk1YyJ96n2D4EOVJO6S3oYZ5PtbJrw3Yt9TpAuX3nBLMuzn74rnfGQrv13pS9vC+YiA==',
  },
];

/** Of a wheel of gigabytes: the C library, its headers, and NVIDIA's libraries with the two files XLA reads. */
const WANTED = [
  /^tensorflow\/libtensorflow_(cc|framework)\.so\.2$/,
  /^tensorflow\/include\/(tensorflow|xla\/tsl)\/c\/.*\.h$/,
  /^tensorflow\/include\/(tensorflow\/core|tsl)\/platform\/ctstring(_internal)?\.h$/,
  /^nvidia\/\w+\/lib\/.*\.so(\.\d+)*$/,
  /^nvidia\/cuda_nvcc\/(bin\/ptxas|nvvm\/libdevice\/.*\.bc)$/,
];

async function setupTensorflow({ cuda }) {
  const kind = cuda ? 'cuda' : 'cpu';
  const wheels = await wheelsFor(kind);
  const made = JSON.stringify({ kind, tensorflow: wheels[0].version, wheels, packages: PACKAGES });
  if ((await readFile(join(BUILD, 'made.json'), 'utf8').catch(() => '')) === made) {
    console.log(`set-up: native TensorFlow ${wheels[0].version} (${kind}) is there already`);
    return;
  }
  const compiler = await findCompiler();
  await rm(PARTIAL, { recursive: true, force: true });
  await step('packages of the addon', addPackages);
  for (const wheel of wheels) await addWheel(wheel);
  await step('the addon', () => compile(compiler));
  await step('a first call', tryAddon);
  await writeFile(join(PARTIAL, 'made.json'), made);
  await rm(BUILD, { recursive: true, force: true });
  await rename(PARTIAL, BUILD);
  await rm(DOWNLOADS, { recursive: true, force: true });
  await step('self-test of the backend', selfTest);
}

async function wheelsFor(kind) {
  const table = JSON.parse(await readFile(new URL('./tensorflow-wheels.json', import.meta.url), 'utf8'));
  const machine = `${process.platform}-${process.arch}`;
  const wheels = table[machine]?.[kind];
  if (wheels) return wheels;
  const known = Object.entries(table).flatMap(([name, kinds]) =>
    Object.keys(kinds).map((k) => `${name} ${k}`),
  );
  throw new SetupError(
    `no TensorFlow wheel is known for ${machine} ${kind}, only for ${known.join(', ')}.\n` +
      'The worker computes on webgpu or wasm here, or with `npm install --no-save @tensorflow/tfjs-node`.',
  );
}

async function findCompiler() {
  const compiler = await findProgram(...(process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++']));
  if (compiler) return compiler;
  throw new SetupError(
    `a C++ compiler is needed, and ${process.env.CXX ? `CXX=${process.env.CXX}` : 'c++, g++ or clang++'} is not on ` +
      'the PATH: `sudo apt-get install g++`, `sudo dnf install gcc-c++`, …',
  );
}

async function addPackages() {
  for (const wanted of PACKAGES) {
    const archive = await fetchPackage(wanted, DOWNLOADS);
    const folder = join(PARTIAL, 'node_modules', wanted.name);
    await mkdir(folder, { recursive: true });
    await run('tar', ['-xzf', archive, '-C', folder, '--strip-components=1']);
  }
}

async function addWheel(wheel) {
  const size = `${(wheel.bytes / 1e6).toFixed(0)} MB`;
  await step(`${wheel.project} ${wheel.version} (${size})`, async () => {
    const archive = await fetchWheel(wheel, DOWNLOADS);
    await unzip(archive, join(PARTIAL, SITE), (name) => WANTED.some((pattern) => pattern.test(name)));
  });
}

/** Two source files and Node-API, which is the same in every version of Node: no node-gyp, no Python. */
async function compile(compiler) {
  const tensorflow = join(PARTIAL, SITE, 'tensorflow');
  const binding = join(PARTIAL, 'node_modules/@tensorflow/tfjs-node/binding');
  await run(compiler, [
    ...['-shared', '-fPIC', '-O2', '-std=c++17', '-DNAPI_VERSION=8'],
    ...['-I', join(PARTIAL, 'node_modules/node-api-headers/include'), '-I', join(tensorflow, 'include')],
    ...['tfjs_backend.cc', 'tfjs_binding.cc'].map((name) => join(binding, name)),
    ...['-L', tensorflow, '-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2'],
    `-Wl,-rpath,$ORIGIN/${SITE}/tensorflow`,
    ...['-o', join(PARTIAL, 'tfjs_binding.node')],
  ]);
}

async function tryAddon() {
  const addon = JSON.stringify(join(PARTIAL, 'tfjs_binding.node'));
  const code = `const b = require(${addon}); console.log('libtensorflow', b.TF_Version, b.isUsingGpuDevice() ? 'on a GPU' : 'on the CPU')`;
  const output = await run(process.execPath, ['-e', code], { env: { TF_CPP_MIN_LOG_LEVEL: '3' } });
  return output.trim().split('\n').at(-1);
}

/** As a worker tests it when it starts, with the packages that the worker needs anyway. */
async function selfTest() {
  await installPackages();
  const code = `
    import { silentLog } from '#worker/log.ts';
    import { chooseBackend, describeBackend } from '#worker/model/backend/choose.ts';
    const { signal } = new AbortController();
    console.log(describeBackend(await chooseBackend('tensorflow', { log: silentLog, signal })));`;
  return (await run(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code])).trim();
}

const args = process.argv.slice(2);
try {
  const unknown = args.find((arg) => arg !== '--cuda');
  if (unknown !== undefined) throw new SetupError(`${unknown}: expected nothing, or --cuda`);
  await setupTensorflow({ cuda: args.includes('--cuda') });
} catch (error) {
  reportAndExit(error);
}
