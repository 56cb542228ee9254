// Compiles the kernels in assembly/ to two files beside this one: kernels.wasm for every processor with SIMD, and
// kernels-fused.wasm, which multiplies and adds in one instruction (relaxed SIMD). Does nothing where a file was made
// from the same sources by the same compiler: their hash is kept in the file, as its last section.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const sources = join(here, 'assembly');
const common = ['-O3', '--enable', 'simd', '--importMemory', '--runtime', 'stub', '--noAssert'];
const builds = [
  { file: 'kernels.wasm', flags: common },
  { file: 'kernels-fused.wasm', flags: [...common, '--enable', 'relaxed-simd'] },
];
const SECTION = 'aiblock.source';

/** Builds where needed; returns true if it compiled. Throws with the compiler's messages. */
export async function buildKernels() {
  let compiled = false;
  for (const { file, flags } of builds) {
    const hash = sourceHash(flags);
    const target = join(here, file);
    if (existsSync(target) && readFileSync(target).subarray(-hash.length).equals(hash)) continue;
    await compile(target, flags, hash);
    compiled = true;
  }
  return compiled;
}

async function compile(target, flags, hash) {
  const { default: asc } = await import('assemblyscript/asc');
  const draft = `${target}.${process.pid}.tmp`;
  const args = [join(sources, 'index.ts'), ...flags, '--use', 'abort=', '--outFile', draft];
  const { error, stderr } = await asc.main(args);
  if (error) throw new Error(`kernels: ${error.message}\n${stderr.toString()}`);
  const wasm = Buffer.concat([readFileSync(draft), section(hash)]);
  writeFileSync(draft, wasm);
  rmSync(target, { force: true });
  renameSync(draft, target);
}

function sourceHash(flags) {
  const hash = createHash('sha256');
  hash.update(createRequire(import.meta.url)('assemblyscript/package.json').version);
  hash.update(flags.join(' '));
  for (const name of readdirSync(sources).sort()) {
    hash.update(`\0${name}\0`).update(readFileSync(join(sources, name)));
  }
  return hash.digest();
}

/** A custom section: id 0, size, name and content. All lengths here fit one byte of LEB128. */
function section(content) {
  const name = Buffer.from(SECTION);
  return Buffer.concat([Buffer.from([0, 1 + name.length + content.length, name.length]), name, content]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log((await buildKernels()) ? 'kernels: compiled' : 'kernels: up to date');
}
