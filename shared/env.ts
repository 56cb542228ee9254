import { parseByteSize } from '#shared/byte-size.ts';
import { PoolError } from '#shared/errors/pool-error.ts';

/** Every environment variable of the product, with the text that the help shows. */
export const ENVIRONMENT = {
  AIBLOCK_HOST: 'address the coordinator listens on (default 127.0.0.1)',
  AIBLOCK_PORT: 'port the coordinator listens on (default 8080)',
  AIBLOCK_DATA_DIR: 'folder of the chains, the ledger and the keys (default ./data)',
  AIBLOCK_BACKEND: 'compute backend of worker and miner: auto, tensorflow, webgpu or wasm (default auto)',
  AIBLOCK_MEMORY_BUDGET:
    'memory for weights in each computing process of a worker, such as 2GiB (default: what the backend can take)',
  AIBLOCK_COORDINATOR:
    'address of the coordinator for worker, miner, chat, verify (default http://HOST:PORT)',
  AIBLOCK_WORKER_TOKEN: 'token with which a new worker enrols (default: the one in the data folder)',
  AIBLOCK_TRUST_PROXY:
    'reverse proxies in front of the coordinator: their number or addresses (default none)',
  AIBLOCK_LOG_LEVEL: 'trace, debug, info, warn, error or silent (default info)',
  REDIS_URL: 'Redis to use instead of a private one',
} as const;
export type EnvironmentName = keyof typeof ENVIRONMENT;

/** Compute backends in the order in which they are tried; `auto` takes the fastest that computes rightly. */
export const BACKENDS = ['tensorflow', 'webgpu', 'wasm'] as const;
export const WANTED_BACKENDS = ['auto', ...BACKENDS] as const;
export type WantedBackend = (typeof WANTED_BACKENDS)[number];

export interface Environment {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly backend: WantedBackend;
  readonly memoryBudgetBytes: number | undefined;
  readonly coordinatorUrl: string;
  readonly workerToken: string | undefined;
  readonly trustProxy: string | undefined;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly redisUrl: string | undefined;
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;

/** Reads all variables, refuses unknown AIBLOCK_* ones, and reports every fault at once (OPTION). */
export function parseEnvironment(variables: Readonly<Record<string, string | undefined>>): Environment {
  const faults = unknownNames(Object.keys(variables));
  const text = (name: EnvironmentName) => variables[name]?.trim() || undefined;
  const oneOf = <T extends string>(name: EnvironmentName, allowed: readonly T[], fallback: T): T => {
    const value = text(name) ?? fallback;
    if ((allowed as readonly string[]).includes(value)) return value as T;
    faults.push(`${name}: expected one of ${allowed.join(', ')}, got ${JSON.stringify(value)}`);
    return fallback;
  };
  const host = text('AIBLOCK_HOST') ?? '127.0.0.1';
  const portText = text('AIBLOCK_PORT') ?? '8080';
  const port = /^[0-9]{1,5}$/.test(portText) ? Number(portText) : Number.NaN;
  if (!Number.isInteger(port) || port > 65_535)
    faults.push(`AIBLOCK_PORT: expected a port from 0 to 65535, got ${JSON.stringify(portText)}`);
  const coordinator = text('AIBLOCK_COORDINATOR');
  if (coordinator !== undefined && !isCoordinatorUrl(coordinator))
    faults.push(
      `AIBLOCK_COORDINATOR: expected an http, https, ws or wss URL, got ${JSON.stringify(coordinator)}`,
    );
  const coordinatorUrl = coordinator ?? `http://${reachable(host)}:${port}`;
  const redisUrl = text('REDIS_URL');
  if (redisUrl !== undefined && !/^rediss?:\/\//.test(redisUrl))
    faults.push('REDIS_URL: expected redis://… or rediss://…');
  const budget = text('AIBLOCK_MEMORY_BUDGET');
  const memoryBudgetBytes = budget === undefined ? undefined : parseByteSize(budget);
  if (budget !== undefined && !memoryBudgetBytes)
    faults.push(`AIBLOCK_MEMORY_BUDGET: expected a size such as 2GiB, got ${JSON.stringify(budget)}`);
  const environment: Environment = {
    host,
    port,
    dataDir: text('AIBLOCK_DATA_DIR') ?? './data',
    backend: oneOf('AIBLOCK_BACKEND', WANTED_BACKENDS, 'auto'),
    memoryBudgetBytes,
    coordinatorUrl,
    workerToken: text('AIBLOCK_WORKER_TOKEN'),
    trustProxy: text('AIBLOCK_TRUST_PROXY'),
    logLevel: oneOf('AIBLOCK_LOG_LEVEL', LOG_LEVELS, 'info'),
    redisUrl,
  };
  if (faults.length > 0) throw new PoolError('OPTION', faults.join('\n'));
  return environment;
}

function isCoordinatorUrl(text: string): boolean {
  return URL.canParse(text) && /^(https?|wss?):$/.test(new URL(text).protocol);
}

/** An address that listens everywhere is reached by loopback; IPv6 takes brackets in a URL. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

function unknownNames(names: readonly string[]): string[] {
  return names
    .filter((name) => name.startsWith('AIBLOCK_') && !Object.hasOwn(ENVIRONMENT, name))
    .map((name) => `${name}: unknown variable; did you mean ${nearest(name, Object.keys(ENVIRONMENT))}?`);
}

/** The candidate with the smallest edit distance. */
export function nearest(word: string, candidates: readonly string[]): string {
  const [first, ...rest] = candidates;
  return rest.reduce((best, c) => (distance(word, c) < distance(word, best) ? c : best), first ?? '');
}

/** Levenshtein's distance, one row at a time. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
