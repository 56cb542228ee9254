import assert from 'node:assert/strict';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, it } from 'node:test';
import { readProxy } from '#coordinator/http/read-proxy.ts';
import { until } from '#test/helpers/until.ts';

async function serve(listener: RequestListener): Promise<URL> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

it('TOO_MANY_REQUESTS: one client of a gateway cannot take all that the core gives its gateway', async () => {
  const held: ServerResponse[] = [];
  const core = await serve((request, response) => {
    if (request.url === '/slow') held.push(response);
    else response.end('read');
  });
  const url = await serve(
    readProxy({
      core,
      readiness: async () => ({ ready: true, checks: {} }),
      addressOf: ({ headers }) => String(headers['x-client']),
    }),
  );
  const read = (path: string, client: string) =>
    fetch(new URL(path, url), { headers: { 'x-client': client } });
  const slow = Array.from({ length: 100 }, () => read('/slow', 'greedy'));
  await until('the core has them all', () => held.length >= 100);
  const refused = await read('/fast', 'greedy');
  assert.equal(refused.status, 429);
  assert.match(await refused.text(), /TOO_MANY_REQUESTS/);
  assert.equal(await (await read('/fast', 'other')).text(), 'read');
  for (const response of held) response.end('at last');
  for (const one of await Promise.all(slow)) assert.equal(await one.text(), 'at last');
  await until('it may read again', async () => (await read('/fast', 'greedy')).status === 200);
});
