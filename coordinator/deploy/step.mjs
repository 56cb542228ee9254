// What the set-up scripts share. They run before anything is installed, so they use nothing but Node itself.
import { spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Whether the module with this URL is the program that was started, also through a link. */
export function isProgram(moduleUrl) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(moduleUrl);
}

/** A fault that its message explains fully: shown without a stack. */
export class SetupError extends Error {}

/** Runs `work` and prints one line with its seconds. `work` may return a text to put into the line. */
export async function step(title, work) {
  const startedAt = performance.now();
  const note = await work();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`set-up: ${title} (${seconds} s)${note ? `: ${note}` : ''}`);
}

/** Runs a program in the repository without showing its output; SetupError with the end of it on failure. */
export async function run(program, args, options = {}) {
  const { code, output } = await capture(program, args, options);
  if (code === 0) return output;
  const tail = output.trim().split('\n').slice(-15).join('\n');
  throw new SetupError(`\`${[program, ...args].join(' ').slice(0, 200)}\` failed (${code}):\n${tail}`);
}

/** Runs npm: the one that started this program, if it did. */
export function npm(args) {
  const program = process.env.npm_execpath;
  return program?.endsWith('.js') ? run(process.execPath, [program, ...args]) : run('npm', args);
}

/** Its exit code (or the reason why it did not start) and all it printed. */
export function capture(program, args, { env = {} } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (data) => {
      output += data;
    });
    child.stderr.on('data', (data) => {
      output += data;
    });
    child.on('error', (error) => resolve({ code: error.code, output: error.message }));
    child.on('close', (code, signal) => resolve({ code: code ?? signal, output }));
  });
}

/** Path of the first of these programs that is on the PATH. */
export async function findProgram(...names) {
  for (const name of names) {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const path = join(folder, name);
      const found =
        folder !== '' &&
        (await access(path, constants.X_OK).then(
          () => true,
          () => false,
        ));
      if (found) return path;
    }
  }
  return undefined;
}
