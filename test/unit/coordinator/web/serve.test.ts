import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import express from 'express';
import { webPage } from '#coordinator/web/serve.ts';
import { tempDir } from '#test/helpers/temp-dir.ts';

async function serve(t: TestContext, distDir: string): Promise<string> {
  const app = express();
  app.use(...webPage(distDir));
  app.use((_request, response) => {
    response.status(418).send('next handler');
  });
  const server = app.listen(0, '127.0.0.1');
  t.after(() => server.close());
  await new Promise((listening) => server.once('listening', listening));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function build(distDir: string): void {
  mkdirSync(join(distDir, 'assets'));
  writeFileSync(join(distDir, 'index.html'), '<!doctype html><p>built</p>');
  writeFileSync(join(distDir, 'assets/index-abc.js'), 'export {};');
}

test('before the first build, / answers 503 with the command, and after it with the page', async (t) => {
  const distDir = await tempDir();
  const url = await serve(t, distDir);
  const before = await fetch(url);
  assert.equal(before.status, 503);
  assert.match(before.headers.get('content-type') ?? '', /^text\/html/);
  assert.match(await before.text(), /npm run build/);
  build(distDir);
  const after = await fetch(url);
  assert.equal(after.status, 200);
  assert.match(await after.text(), /built/);
});

test('index.html is asked for again each time, assets are kept for ever', async (t) => {
  const distDir = await tempDir();
  build(distDir);
  const url = await serve(t, distDir);
  assert.equal((await fetch(url)).headers.get('cache-control'), 'no-cache');
  const asset = await fetch(`${url}/assets/index-abc.js`);
  assert.equal(asset.headers.get('cache-control'), 'public, max-age=31536000, immutable');
  assert.match(asset.headers.get('content-type') ?? '', /^text\/javascript/);
});

test('what is not a file of the page is left to the next handler', async (t) => {
  const distDir = await tempDir();
  build(distDir);
  const url = await serve(t, distDir);
  for (const path of ['/overview', '/assets/none.js', '/assets', '/assets/..%2f..%2fpackage.json'])
    assert.equal((await fetch(url + path)).status, 418, path);
  assert.equal((await fetch(url, { method: 'POST' })).status, 418);
});
