import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import { WeightsFile } from '#coordinator/import/weights-file.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

it('WEIGHTS_TRUNCATED: a file that became shorter, before a piece of half an element is given', async () => {
  const path = join(await tempDir(), 'weights');
  await writeFile(path, new Uint8Array(7));
  const file = await WeightsFile.open(path);
  const pieces: number[] = [];
  const read = async () => {
    for await (const piece of file.read(0, 8)) pieces.push(piece.length);
  };
  await assert.rejects(read, { code: 'WEIGHTS_TRUNCATED', message: /ends at byte 7, expected 1 more/ });
  assert.deepEqual(pieces, []);
  await file.close();
});
