import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Path of a file or folder of the repository. */
export const repositoryPath = (path: string): string => ROOT + path;

/** A file of the repository, as text. */
export const repositoryFile = (path: string): Promise<string> => readFile(repositoryPath(path), 'utf8');
