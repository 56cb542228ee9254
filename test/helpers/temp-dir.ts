import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

/** A new empty folder, removed after the tests of the calling file. */
export async function tempDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'aiblock-test-'));
  after(() => rm(dir, { recursive: true, force: true, maxRetries: 3 }));
  return dir;
}
