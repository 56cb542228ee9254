import assert from 'node:assert/strict';
import { access, readdir } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { ENVIRONMENT } from '#shared/env.ts';
import { ALERTS } from '#test/helpers/grafana.ts';
import { repositoryFile, repositoryPath } from '#test/helpers/repository.ts';

const TEXTS = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'];

interface PackageFile {
  readonly scripts: Record<string, string>;
  readonly dependencies: Record<string, string>;
  readonly optionalDependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
}
const packageFile = async () => JSON.parse(await repositoryFile('package.json')) as PackageFile;

describe('what is written for people', () => {
  it('lists the environment variables of the product, and no other', async () => {
    const rows = [...(await repositoryFile('README.md')).matchAll(/^\| `([A-Z_]+)` \| (.*) \|$/gm)];
    assert.deepEqual(Object.fromEntries(rows.map(([, name, text]) => [name, text])), { ...ENVIRONMENT });
  });

  it('links only to what is there', async () => {
    for (const text of TEXTS) {
      const links = [...(await repositoryFile(text)).matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1]);
      for (const link of links.filter((target) => !target?.startsWith('http')))
        await assert.doesNotReject(access(repositoryPath(link as string)), `${text} links to ${link}`);
    }
  });

  it('maps folders that exist', async () => {
    const folders = [...(await repositoryFile('README.md')).matchAll(/^([a-z]+)\/ {2,}\S/gm)];
    assert.ok(folders.length >= 5);
    for (const [, folder] of folders) await access(repositoryPath(folder as string));
  });

  it('names scripts of package.json', async () => {
    const { scripts } = await packageFile();
    for (const text of TEXTS)
      for (const [, run, name] of (await repositoryFile(text)).matchAll(/\bnpm (run (?:-s )?)?([a-z]+)/g))
        if (run !== undefined || name === 'start' || name === 'test')
          assert.ok(Object.hasOwn(scripts, name as string), `${text}: npm ${run ?? ''}${name}`);
  });

  it('names commands that exist', async () => {
    const files = await Promise.all(
      ['coordinator/cli', 'worker/cli'].map((folder) => readdir(repositoryPath(folder))),
    );
    const text = (await repositoryFile('README.md')) + (await repositoryFile(ALERTS));
    const commands = [...text.matchAll(/\baiblock (?:-- )?([a-z]+)/g)].map((match) => match[1]);
    assert.ok(commands.length > 6);
    for (const command of commands) assert.ok(files.flat().includes(`${command}.ts`), `aiblock ${command}`);
  });

  it('says of every dependency why it came in', async () => {
    const { dependencies, optionalDependencies, devDependencies } = await packageFile();
    const installed = Object.keys({ ...dependencies, ...optionalDependencies, ...devDependencies });
    const lines = (await repositoryFile('CHANGELOG.md')).match(/^- `.*$/gm) ?? [];
    const explained = lines.flatMap((line) =>
      line.slice(0, line.indexOf(':')).match(/(?<=`)[@a-z0-9/-]+(?=`)/g),
    );
    assert.deepEqual(explained.sort(), installed.sort());
  });
});
