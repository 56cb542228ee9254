import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { downloadFile, HubApiError, type ListFileEntry } from '@huggingface/hub';
import type { HubAccess } from '#coordinator/import/hub/access.ts';
import { hubError } from '#coordinator/import/hub/hub-error.ts';
import { onDisk } from '#coordinator/import/hub/on-disk.ts';
import type { Watch } from '#coordinator/progress.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

/** One commit of a repository. */
export interface HubRepo {
  readonly name: string;
  readonly commit: string;
  readonly access: HubAccess;
}

/** A line that is cut is taken up again so often, each time after a longer pause. */
const TRIES = 5;
const PAUSE_MS = 250;
/** A line that brings nothing for so long counts as cut. */
const STALL_MS = 30_000;

interface Target {
  readonly file: ListFileEntry;
  /** Where it goes; until it is whole and checked its name ends in `.part`. */
  readonly path: string;
}

/**
 * Downloads one file, going on where an earlier try was cut, and checks its size and the hash that the hub announced
 * (SHA-256 of large files, git's of small ones). HUB where it stays cut or is another.
 */
export async function downloadHubFile(repo: HubRepo, target: Target, watch: Watch): Promise<void> {
  const { file, path } = target;
  const { size } = await stat(path).catch(() => ({ size: -1 }));
  if (size === file.size) return; // checked when it got its name
  watch.progress.begin(`Downloading ${file.path}`, file.size);
  const part = await onDisk(path, () => open(`${path}.part`, 'a+'));
  try {
    await fill(part, repo, { target, watch });
    await onDisk(path, () => part.sync());
  } finally {
    await part.close();
    watch.progress.end();
  }
  await check(target);
  await rename(`${path}.part`, path);
}

interface Filling {
  readonly target: Target;
  readonly watch: Watch;
}

async function fill(part: FileHandle, repo: HubRepo, { target, watch }: Filling): Promise<void> {
  const total = target.file.size;
  let { size } = await part.stat();
  if (size > total) {
    await part.truncate();
    size = 0;
  }
  watch.progress.add(size);
  for (let failures = 0; size < total; ) {
    const before = size;
    try {
      for await (const piece of streamed(repo, { target, watch, start: size })) {
        watch.signal.throwIfAborted();
        must(size + piece.length <= total, 'HUB', `${target.file.path}: expected ${total} bytes, got more`);
        await onDisk(target.path, () => part.appendFile(piece));
        size += piece.length;
        watch.progress.add(piece.length);
      }
      must(size === total || size > before, 'HUB', `${target.file.path}: the hub sent nothing`);
    } catch (error) {
      watch.signal.throwIfAborted();
      failures = size > before ? 1 : failures + 1;
      if (error instanceof PoolError || isFinal(error) || failures >= TRIES)
        throw error instanceof PoolError
          ? error
          : hubError(error, { what: `${repo.name}: ${target.file.path}`, access: repo.access });
      await pause(PAUSE_MS * 2 ** failures, watch.signal);
    }
  }
}

/** Asking again would not change these. */
const isFinal = (error: unknown): boolean =>
  error instanceof HubApiError && error.statusCode < 500 && error.statusCode !== 429;

async function* streamed(
  { name, commit, access }: HubRepo,
  { target: { file }, watch, start }: Filling & { readonly start: number },
): AsyncGenerator<Uint8Array> {
  const stalled = new AbortController();
  const timer = setTimeout(() => stalled.abort(new Error('the line stood still')), STALL_MS);
  const signal = AbortSignal.any([watch.signal, stalled.signal]);
  try {
    const blob = await downloadFile({
      repo: name,
      path: file.path,
      revision: commit,
      hubUrl: access.endpoint,
      // Plain ranges over HTTP, which every mirror has; what they bring is checked by its hash.
      xet: false,
      fetch: rangedFetch(signal),
      ...(access.token !== undefined && { accessToken: access.token }),
    });
    must(blob, 'HUB', `${file.path}: the hub lists it, but does not have it`);
    must(blob.size === file.size, 'HUB', `${file.path}: expected ${file.size} bytes, got ${blob.size}`);
    for await (const piece of blob.slice(start).stream()) {
      timer.refresh();
      yield piece as Uint8Array;
    }
  } finally {
    clearTimeout(timer);
  }
}

/** A server that ignores a range would send the file from its start. */
function rangedFetch(signal: AbortSignal): typeof fetch {
  return async (url, init) => {
    const response = await fetch(url, { ...init, signal });
    const range = new Headers(init?.headers).get('range');
    must(
      range === null || !response.ok || response.status === 206,
      'HUB',
      'the server of the hub does not give parts of files',
    );
    return response;
  };
}

async function check({ file, path }: Target): Promise<void> {
  const lfs = file.lfs?.oid;
  const expected = lfs ?? file.oid;
  if (expected === undefined) return;
  const hash: Hash = lfs === undefined ? gitHash(file.size) : createHash('sha256');
  const handle = await open(`${path}.part`, 'r');
  for await (const piece of handle.createReadStream()) hash.update(piece as Uint8Array);
  const actual = hash.digest('hex');
  if (actual === expected) return;
  await rm(`${path}.part`, { force: true }); // going on with it would not mend it
  throw new PoolError('HUB', `${file.path}: expected bytes of hash ${expected}, got ${actual}`);
}

/** Git names a file by the SHA-1 of its size and its bytes. */
function gitHash(size: number): Hash {
  return createHash('sha1').update(`blob ${size}\0`);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        reject(signal.reason as Error);
      },
      { once: true },
    );
  });
}
