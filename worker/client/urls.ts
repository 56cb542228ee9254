import { must } from '#shared/errors/pool-error.ts';

const TO_HTTP: Readonly<Record<string, string>> = {
  'http:': 'http:',
  'https:': 'https:',
  'ws:': 'http:',
  'wss:': 'https:',
};

/** A coordinator's address as people write it (http, https, ws or wss, any trailing slash) → HTTP base URL. */
export function httpBase(coordinator: string): URL {
  must(
    URL.canParse(coordinator),
    'OPTION',
    () =>
      `coordinator: expected a URL such as https://pool.example, got ${JSON.stringify(coordinator.slice(0, 100))}`,
  );
  const url = new URL(coordinator);
  const protocol = TO_HTTP[url.protocol];
  must(protocol, 'OPTION', () => `coordinator: expected http, https, ws or wss, got ${url.protocol}//`);
  // The protocol setter refuses to leave ws for http: rebuild instead.
  const base = new URL(`${protocol}//${url.host}${url.pathname.replace(/\/*$/, '/')}`);
  base.username = url.username;
  base.password = url.password;
  return base;
}

/** HTTP address of a path such as `model` or `payload/<hash>` under the coordinator. */
export function httpUrl(coordinator: string, path: string): URL {
  return new URL(path, httpBase(coordinator));
}

/** WebSocket address of a path such as `ws/worker` under the coordinator. */
export function webSocketUrl(coordinator: string, path: string): string {
  const url = httpUrl(coordinator, path).href;
  return url.replace(/^http/, 'ws');
}
