import { createHash } from 'node:crypto';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const OUTPUT = `${FOLDER}grinder.wasm`;
/** A custom section that names what the module was built from, so that it needs no second file beside it. */
const SECTION = 'aiblock-source';
// One page holds the groups and tables; memory never grows.
const ARGUMENTS = ['-O3', '--enable', 'simd', '--runtime', 'stub', '--noAssert', '--initialMemory', '1'];

/** Builds grinder.wasm unless it is up to date already. Returns its path and whether it was built. */
export async function build() {
  const source = await sourceHash();
  if ((await builtFrom(OUTPUT)) === source) return { path: OUTPUT, built: false };
  const wasm = withSection(await compile(), source);
  const partial = `${OUTPUT}.${process.pid}.partial.wasm`;
  await writeFile(partial, wasm);
  await rename(partial, OUTPUT);
  return { path: OUTPUT, built: true };
}

async function sourceHash() {
  const hash = createHash('sha256').update(JSON.stringify([ARGUMENTS, compilerVersion()]));
  const names = (await readdir(`${FOLDER}assembly`)).filter((name) => name.endsWith('.ts')).sort();
  for (const name of names) hash.update(`\0${name}\0`).update(await readFile(`${FOLDER}assembly/${name}`));
  return hash.digest('hex');
}

function compilerVersion() {
  return createRequire(import.meta.url)('assemblyscript/package.json').version;
}

async function builtFrom(path) {
  const bytes = await readFile(path).catch(() => null);
  if (bytes === null || !WebAssembly.validate(bytes)) return null;
  const [section] = WebAssembly.Module.customSections(new WebAssembly.Module(bytes), SECTION);
  return section === undefined ? null : Buffer.from(section).toString();
}

async function compile() {
  const { default: asc } = await import('assemblyscript/asc');
  let wasm;
  const { error, stderr } = await asc.main(
    ['grind.ts', '--baseDir', `${FOLDER}assembly`, '--outFile', 'grinder.wasm', ...ARGUMENTS],
    {
      writeFile: (_name, contents) => {
        wasm = contents;
      },
    },
  );
  if (error || !(wasm instanceof Uint8Array)) {
    throw new Error(`the grinder does not compile: ${error?.message ?? 'no output'}\n${stderr}`);
  }
  return wasm;
}

/** Appends a custom section: id 0, size, name, contents (WebAssembly 1.0 §5.5.3). All sizes are below 128. */
function withSection(wasm, contents) {
  const body = [SECTION.length, ...Buffer.from(SECTION), ...Buffer.from(contents)];
  if (body.length > 127) throw new Error(`the section is ${body.length} bytes, more than 127`);
  return Buffer.concat([wasm, Buffer.from([0, body.length, ...body])]);
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { path, built } = await build();
  process.stdout.write(`${path} ${built ? 'built' : 'is up to date'}\n`);
}
