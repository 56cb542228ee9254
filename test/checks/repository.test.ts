import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ERRORS } from '#shared/errors/catalogue.ts';
import { FILES, read, SOURCES } from './repository.ts';

it('locks packages by version and hash only, not by the address they came from', () => {
  const lock = JSON.parse(read('package-lock.json') ?? '{}') as {
    packages: Record<string, { resolved?: string; integrity?: string; optional?: boolean }>;
  };
  const entries = Object.entries(lock.packages).filter(([path]) => path !== '');
  assert.ok(entries.length > 0);
  const located = entries.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path);
  assert.deepEqual(located, [], 'run `npm install --package-lock-only --omit-lockfile-registry-resolved`');
  // Of an optional package for another platform npm may not know the hash.
  const unhashed = entries.filter(([, { integrity, optional }]) => integrity === undefined && !optional);
  assert.deepEqual(
    unhashed.map(([path]) => path),
    [],
    'every package needs its hash: make the lock file again',
  );
});

it('pins every dependency', () => {
  const manifest = JSON.parse(read('package.json') ?? '{}') as Record<string, Record<string, string>>;
  const all = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies };
  const loose = Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version));
  assert.deepEqual(loose, [], 'write the exact version');
});

it('names no path of one machine', () => {
  // In pieces, so that this file does not find itself.
  const places = ['work', 'root', 'Users', 'home'].map((name) => `/${name}`);
  const pattern = new RegExp(`(?<![\\w.~$}/)-])(${places.join('|')})/[\\w.-]+`);
  const found = FILES.filter((path) => path !== 'package-lock.json').flatMap((path) =>
    (read(path) ?? '').split('\n').flatMap((line, i) => {
      const match = pattern.exec(line)?.[0];
      return match ? [`${path}:${i + 1} ${match}`] : [];
    }),
  );
  assert.deepEqual(found, [], 'say it relative to the repository, or by an option');
});

it('uses or documents every code of the error catalogue', () => {
  const texts = [...SOURCES, 'README.md', 'shared/PROTOCOL.md']
    .filter((path) => path !== 'shared/errors/catalogue.ts')
    .map((path) => read(path) ?? '')
    .join('\n');
  const unused = Object.keys(ERRORS).filter((code) => !new RegExp(`['"\`]${code}['"\`]`).test(texts));
  assert.deepEqual(
    unused,
    [],
    'remove these codes from the catalogue, or describe them in shared/PROTOCOL.md',
  );
});

it('gives every error a status that fits and a whole sentence', () => {
  for (const [code, [status, meaning]] of Object.entries(ERRORS)) {
    assert.match(code, /^[A-Z][A-Z_]*[A-Z]$/);
    assert.ok(status >= 400 && status < 600, code);
    assert.match(meaning, /^[A-Z].*\.$/, code);
  }
});
