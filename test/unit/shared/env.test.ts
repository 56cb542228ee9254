import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENVIRONMENT, nearest, parseEnvironment } from '#shared/env.ts';
import type { PoolError } from '#shared/errors/pool-error.ts';

const faultsOf = (variables: Record<string, string>): string[] => {
  try {
    parseEnvironment(variables);
  } catch (error) {
    assert.equal((error as PoolError).code, 'OPTION');
    return (error as PoolError).message.split('\n');
  }
  return [];
};

test('nothing set: the defaults', () => {
  assert.deepEqual(parseEnvironment({ PATH: '/bin', HOME: undefined }), {
    host: '127.0.0.1',
    port: 8080,
    dataDir: './data',
    backend: 'auto',
    memoryBudgetBytes: undefined,
    coordinatorUrl: 'http://127.0.0.1:8080',
    workerToken: undefined,
    trustProxy: undefined,
    logLevel: 'info',
    redisUrl: undefined,
  });
});

test('every variable is read, blanks around it are not', () => {
  const environment = parseEnvironment({
    AIBLOCK_HOST: '0.0.0.0',
    AIBLOCK_PORT: ' 0 ',
    AIBLOCK_DATA_DIR: '/srv/pool',
    AIBLOCK_BACKEND: 'wasm',
    AIBLOCK_MEMORY_BUDGET: '2GiB',
    AIBLOCK_COORDINATOR: 'wss://pool.example',
    AIBLOCK_WORKER_TOKEN: 't',
    AIBLOCK_TRUST_PROXY: '1',
    AIBLOCK_LOG_LEVEL: 'silent',
    REDIS_URL: 'rediss://127.0.0.1:6379/1',
  });
  assert.deepEqual(Object.values(environment), [
    ...[
      '0.0.0.0',
      0,
      '/srv/pool',
      'wasm',
      2 ** 31,
      'wss://pool.example',
      't',
      '1',
      'silent',
      'rediss://127.0.0.1:6379/1',
    ],
  ]);
});

test('a variable that is set to nothing counts as not set', () => {
  const empty = Object.fromEntries(Object.keys(ENVIRONMENT).map((name) => [name, ' ']));
  assert.deepEqual(parseEnvironment(empty), parseEnvironment({}));
});

test('the coordinator is reached by loopback where it listens everywhere', () => {
  const url = (host: string) => parseEnvironment({ AIBLOCK_HOST: host, AIBLOCK_PORT: '9' }).coordinatorUrl;
  assert.deepEqual(['0.0.0.0', '::', '::1', 'pool.example'].map(url), [
    'http://127.0.0.1:9',
    'http://[::1]:9',
    'http://[::1]:9',
    'http://pool.example:9',
  ]);
});

test('OPTION: every fault at once, each on a line of its own', () => {
  const faults = faultsOf({
    AIBLOCK_PROT: '1',
    AIBLOCK_PORT: '65536',
    AIBLOCK_BACKEND: 'cuda',
    AIBLOCK_MEMORY_BUDGET: 'half',
    AIBLOCK_LOG_LEVEL: 'INFO',
    AIBLOCK_COORDINATOR: 'pool example',
    REDIS_URL: '127.0.0.1:6379',
  });
  const named = [
    'AIBLOCK_PROT',
    'AIBLOCK_PORT',
    'AIBLOCK_BACKEND',
    'AIBLOCK_MEMORY_BUDGET',
    'AIBLOCK_LOG_LEVEL',
    'AIBLOCK_COORDINATOR',
    'REDIS_URL',
  ];
  assert.equal(faults.length, named.length, faults.join('\n'));
  for (const name of named)
    assert.ok(
      faults.some((fault) => fault.startsWith(`${name}: `)),
      name,
    );
});

test('OPTION: an unknown variable, with the nearest known name', () => {
  assert.deepEqual(faultsOf({ AIBLOCK_DATADIR: 'x' }), [
    'AIBLOCK_DATADIR: unknown variable; did you mean AIBLOCK_DATA_DIR?',
  ]);
  assert.match(faultsOf({ AIBLOCK_PROT: '1' })[0]!, /AIBLOCK_PORT\?$/);
  assert.equal(faultsOf({ AIBLOCK___proto__: '1', AIBLOCK_: '' }).length, 2);
});

test('OPTION: a port in another form than plain digits', () => {
  for (const port of [
    '-1',
    '65536',
    '1e3',
    '0x50',
    '80.0',
    '8080.5',
    '8 0',
    '８０',
    'http',
    'NaN',
    'Infinity',
  ])
    assert.deepEqual(
      faultsOf({ AIBLOCK_PORT: port }).map((fault) => fault.split(':')[0]),
      ['AIBLOCK_PORT'],
      port,
    );
});

test('OPTION: a coordinator that is not reached by http or WebSocket', () => {
  for (const url of ['pool.example', 'ftp://pool.example', 'file:///etc', 'javascript:1', 'http://'])
    assert.equal(faultsOf({ AIBLOCK_COORDINATOR: url }).length, 1, url);
});

test('the nearest word is the one with the fewest changes', () => {
  assert.equal(nearest('evaluted', ['mining', 'evaluated', 'queued']), 'evaluated');
  assert.equal(nearest('x', []), '');
});
