import assert from 'node:assert/strict';
import { it } from 'node:test';
import { httpUrl, webSocketUrl } from '#worker/client/urls.ts';

it('takes any scheme and trailing slash', () => {
  assert.equal(httpUrl('wss://pool.example', 'model').href, 'https://pool.example/model');
  assert.equal(httpUrl('http://127.0.0.1:8080/', 'model').href, 'http://127.0.0.1:8080/model');
  assert.equal(
    webSocketUrl('https://pool.example/under/', 'ws/worker'),
    'wss://pool.example/under/ws/worker',
  );
  assert.equal(webSocketUrl('ws://[::1]:8080', 'ws/worker'), 'ws://[::1]:8080/ws/worker');
});

it('OPTION', () => {
  for (const bad of ['pool.example', 'ftp://pool.example', ''])
    assert.throws(() => httpUrl(bad, ''), { code: 'OPTION' });
});
