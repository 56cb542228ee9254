import { spawn } from 'node:child_process';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { must, PoolError } from '#shared/errors/pool-error.ts';
import { ApiClient } from '#worker/client/api-client.ts';

export interface PoolAddress {
  /** As given by the user: it must answer. */
  readonly given: string | undefined;
  /** A folder that was given: it is read, and nobody asked. */
  readonly folder: string | undefined;
  /** Tried first where neither was given. */
  readonly usual: string;
  /** Read where nobody answers at the usual address. */
  readonly usualFolder: string;
}

export interface OpenPool {
  readonly api: ApiClient;
  readonly coordinator: string;
  /** Set where the stored chain is served by a process of our own. */
  readonly note: string | undefined;
  close(): Promise<void>;
}

const LAUNCHER = fileURLToPath(new URL('../../coordinator/cli/aiblock.mjs', import.meta.url));
/** Opening a store of many blocks after a crash takes a while. */
const START_MS = 120_000;
const STOP_MS = 10_000;
const KEPT_ERROR_LINES = 20;

/**
 * The pool at its address, or in its folder; where neither was given and nobody answers at the usual address, the one
 * in the usual folder. A folder is served for reading by a coordinator that is started for it and ended by `close`.
 * UNAVAILABLE where there is no pool.
 */
export async function openPool(address: PoolAddress, signal: AbortSignal): Promise<OpenPool> {
  const { given, folder, usual, usualFolder } = address;
  if (folder !== undefined) {
    must(await holdsChain(folder), 'OPTION', `${folder} holds no pool`);
    return startReader(folder, `reading the chain in ${folder}`, signal);
  }
  const coordinator = given ?? usual;
  const api = new ApiClient(coordinator);
  try {
    await api.model(signal);
    return { api, coordinator, note: undefined, close: async () => {} };
  } catch (error) {
    const nobody = error instanceof PoolError && error.code === 'UNAVAILABLE';
    if (!nobody || given !== undefined || !(await holdsChain(usualFolder))) throw error;
  }
  const note = `nobody answers at ${usual}: reading the chain in ${usualFolder}`;
  return startReader(usualFolder, note, signal);
}

function holdsChain(dataDir: string): Promise<boolean> {
  return access(join(dataDir, 'store')).then(
    () => true,
    () => false,
  );
}

async function startReader(dataDir: string, note: string, signal: AbortSignal): Promise<OpenPool> {
  const reader = new Reader(dataDir);
  const stop = () => void reader.close();
  signal.addEventListener('abort', stop, { once: true });
  try {
    const coordinator = await reader.url;
    signal.throwIfAborted();
    return { api: new ApiClient(coordinator), coordinator, note, close: () => reader.close() };
  } catch (error) {
    await reader.close();
    signal.throwIfAborted();
    throw error;
  }
}

/** `aiblock coordinator --read-only` as a child process. */
class Reader {
  readonly url: Promise<string>;
  readonly #child: ReturnType<typeof spawn>;
  readonly #ended: Promise<void>;

  constructor(dataDir: string) {
    const args = ['coordinator', '--read-only', '--host', '127.0.0.1', '--port', '0', '--data-dir', dataDir];
    this.#child = spawn(execPath, [LAUNCHER, ...args], {
      // By the channel it knows when this process is gone, however it ended.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once('close', () => resolve());
      this.#child.once('error', () => resolve());
    });
    this.url = this.#ready();
    this.url.catch(() => {}); // awaited by whoever started it
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  #ready(): Promise<string> {
    const errors: string[] = [];
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        const hint = why.includes('STORE_LOCKED') ? ', or name the pool by its address (--coordinator)' : '';
        reject(new PoolError('UNAVAILABLE', `the stored chain cannot be read: ${why}${hint}`));
      };
      const timer = setTimeout(() => fail('it was not ready in time'), START_MS);
      this.#lines('stdout', (line) => {
        const url = urlIn(line);
        if (url !== undefined) resolve(url);
      });
      this.#lines('stderr', (line) => {
        errors.push(line);
        if (errors.length > KEPT_ERROR_LINES) errors.shift();
      });
      void this.#ended.then(() => {
        clearTimeout(timer);
        fail(errors.findLast((line) => line.startsWith('error ')) ?? errors.at(-1) ?? 'it ended at once');
      });
    });
  }

  #lines(name: 'stdout' | 'stderr', onLine: (line: string) => void): void {
    const input = this.#child[name];
    if (input) createInterface({ input }).on('line', onLine);
  }
}

/** The address in the line of JSON that the coordinator prints when it is ready. */
function urlIn(line: string): string | undefined {
  try {
    const { url } = JSON.parse(line) as { url?: unknown };
    return typeof url === 'string' ? url : undefined;
  } catch {
    return undefined;
  }
}
