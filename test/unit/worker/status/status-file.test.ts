import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import { tempDir } from '#test/helpers/temp-dir.ts';
import { StatusServer } from '#worker/status/server.ts';
import type { WorkerStatus } from '#worker/status/status.ts';
import { mustBeAlone, statusFile } from '#worker/status/status-file.ts';

it('OPTION: a second worker of one folder; one whose worker was killed, or never was, is free', async () => {
  const dir = await tempDir();
  const file = statusFile(dir);
  await mustBeAlone(file, '0x01');
  const status = async () => ({ address: '0x01' }) as WorkerStatus;
  const server = await StatusServer.start({ port: 0, file, status });
  await mustBeAlone(file, '0x02');
  await assert.rejects(mustBeAlone(file, '0x01'), { code: 'OPTION', message: /--data-dir of its own/ });
  const { url } = server;
  await server.close();
  await mustBeAlone(file, '0x01');
  await writeFile(join(dir, 'worker', 'status.json'), JSON.stringify({ url }));
  await mustBeAlone(file, '0x01');
});
