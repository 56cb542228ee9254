import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Every file that belongs to the repository, committed or not yet: paths from its root. */
export const FILES: readonly string[] = git('ls-files', '--cached', '--others', '--exclude-standard')
  .split('\n')
  .filter((path) => path !== '' && read(path) !== undefined);

/** Our own modules: TypeScript of the three source folders, without declarations and what is compiled to WebAssembly. */
export const SOURCES: readonly string[] = FILES.filter(
  (path) =>
    /^(shared|coordinator|worker)\/.*\.(ts|svelte)$/.test(path) && !/\.d\.ts$|\/assembly\//.test(path),
);

export interface Import {
  /** The importing file. */
  readonly from: string;
  /** A path from the root for our own modules, otherwise the name as written. */
  readonly to: string;
  readonly typeOnly: boolean;
}

/** All imports of SOURCES: static, dynamic, re-exports and import.meta.resolve. */
export const IMPORTS: readonly Import[] = SOURCES.flatMap((from) =>
  [
    ...(read(from) ?? '').matchAll(
      /^\s*(?:import|export)(?<type>\s+type)?\b[^'"`;]*?\bfrom\s*['"](?<a>[^'"]+)['"]|^\s*import\s*['"](?<b>[^'"]+)['"]|\bimport(?:\.meta\.resolve)?\(\s*['"](?<c>[^'"]+)['"]/gm,
    ),
  ].map(({ groups }) => ({
    from,
    to: resolved(from, groups?.a ?? groups?.b ?? groups?.c ?? ''),
    typeOnly: groups?.type !== undefined,
  })),
);

/** Text of a file, or undefined where it is gone or binary. */
export function read(path: string): string | undefined {
  try {
    const bytes = readFileSync(join(ROOT, path));
    return bytes.includes(0) ? undefined : bytes.toString();
  } catch {
    return undefined;
  }
}

/** The text without comments and the contents of plain strings, line by line as before. */
export function code(path: string): string {
  const blank = (text: string) => text.replace(/[^\n]/g, ' ');
  return (read(path) ?? '').replace(
    /\/\*[\s\S]*?\*\/|(?<![:'"])\/\/.*$|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/gm,
    blank,
  );
}

/** `path:line` of each match in the code of these files. */
export function findInCode(paths: readonly string[], pattern: RegExp): string[] {
  return paths.flatMap((path) =>
    code(path)
      .split('\n')
      .flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}`] : [])),
  );
}

function resolved(from: string, name: string): string {
  if (name.startsWith('#')) return name.slice(1);
  if (name.startsWith('.')) return join(dirname(from), name);
  return name;
}

function git(...args: string[]): string {
  return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 << 20 });
}
