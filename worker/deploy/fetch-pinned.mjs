// Downloads files whose hash is known beforehand: wheels by pip or from a Python index, packages by npm.
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { capture, findProgram, npm, SetupError } from '../../coordinator/deploy/step.mjs';

const PYPI = 'https://pypi.org/simple';
/** Wheels are asked for by the tags of this Python, whatever Python pip runs on. */
const PYTHON_TAGS = ['--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311'];

/**
 * A wheel of the table in `folder`: the one that is there already, else by pip (which knows this machine's
 * mirrors, proxies and certificates), else from the index itself. SetupError where none of them has it, or
 * where its SHA-256 differs.
 */
export async function fetchWheel(wheel, folder) {
  const path = join(folder, wheel.file);
  if ((await digest(path, 'sha256', 'hex')) === wheel.sha256) return path;
  await mkdir(folder, { recursive: true });
  const reasons = [];
  for (const fetchIt of [withPip, fromIndex]) {
    const reason = await fetchIt(wheel, folder).catch((error) => error.message);
    const found = await digest(path, 'sha256', 'hex');
    if (found === wheel.sha256) return path;
    if (found !== undefined) await rm(path);
    reasons.push(found === undefined ? reason : `expected SHA-256 ${wheel.sha256}, got ${found}`);
  }
  throw new SetupError(
    `${wheel.file} could not be had: ${reasons.join('; ')}.\n` +
      `It may be fetched elsewhere and laid into ${folder}.`,
  );
}

async function withPip({ project, version, file }, folder) {
  const pip = await findProgram('pip3', 'pip');
  if (!pip) return 'there is no pip';
  const platforms = basename(file, '.whl').split('-').at(-1).split('.');
  const { code, output } = await capture(pip, [
    ...['download', '--quiet', '--no-deps', '--only-binary=:all:', '--dest', folder, ...PYTHON_TAGS],
    ...platforms.flatMap((platform) => ['--platform', platform]),
    `${project}==${version}`,
  ]);
  return code === 0 ? 'pip took another file' : `pip: ${output.trim().split('\n').at(-1)}`;
}

/** PEP 691. */
async function fromIndex({ project, file }, folder) {
  const index = (process.env.PIP_INDEX_URL || PYPI).replace(/\/$/, '');
  const page = await get(`${index}/${project}/`, { accept: 'application/vnd.pypi.simple.v1+json' });
  const { files } = await page.json();
  const found = files.find(({ filename }) => filename === file);
  if (!found) return `${index} does not list it`;
  const { body } = await get(new URL(found.url, page.url));
  const path = join(folder, file);
  await pipeline(Readable.fromWeb(body), createWriteStream(`${path}.partial`));
  await rename(`${path}.partial`, path);
  return '';
}

async function get(url, headers = {}) {
  const response = await fetch(url, { headers });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response;
}

/** A package of the npm registry as the archive that npm keeps, without running anything of it. */
export async function fetchPackage({ name, version, sha512 }, folder) {
  await mkdir(folder, { recursive: true });
  await npm(['pack', `${name}@${version}`, '--pack-destination', folder]);
  const path = join(folder, `${name.replace('@', '').replace('/', '-')}-${version}.tgz`);
  const found = await digest(path, 'sha512', 'base64');
  if (found === sha512) return path;
  throw new SetupError(`${name}@${version}: expected SHA-512 ${sha512}, got ${found}`);
}

/** Digest of a file's bytes; undefined where there is no such file. */
async function digest(path, algorithm, encoding) {
  const hash = createHash(algorithm);
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk);
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
  return hash.digest(encoding);
}
