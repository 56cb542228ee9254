import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { env } from 'node:process';

const PROGRAMS = {
  'redis-server': ['redis-server'],
  chromium: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
  prometheus: ['prometheus'],
  openssl: ['openssl'],
} as const;

export type Tool = keyof typeof PROGRAMS;

/** Path of a program of the system, or undefined where `npm test` could not get it. */
export function toolPath(tool: Tool): string | undefined {
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return PROGRAMS[tool].flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
}

/** For the `skip` of a test that needs the tool: why it is skipped, or false. */
export function skipWithout(tool: Tool): string | false {
  return toolPath(tool) === undefined && `${tool} is missing`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
