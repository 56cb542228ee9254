import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CoreLink } from '#coordinator/dispatch/link/core-link.ts';
import { addressOfRequests } from '#coordinator/http/limit-writes.ts';
import { connectionLimits, httpServer, listen } from '#coordinator/http/listen.ts';
import { readProxy } from '#coordinator/http/read-proxy.ts';
import type { Log } from '#coordinator/log.ts';
import { CORE } from '#coordinator/open/open-gateways.ts';
import { checkRedis, redisPrefix } from '#coordinator/queue/redis-connection.ts';
import { RedisWire } from '#coordinator/queue/redis-wire.ts';
import { readinessOf } from '#coordinator/readiness.ts';
import { WebSocketEdge } from '#coordinator/ws/server.ts';
import { WorkerGateway } from '#coordinator/ws/worker-gateway.ts';
import { overviewSchema } from '#shared/api/schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { PoolError } from '#shared/errors/pool-error.ts';
import { SOFTWARE_VERSION } from '#shared/version.ts';

export interface GatewayOptions {
  readonly host: string;
  readonly port: number;
  readonly redisUrl: string;
  /** Where the coordinator answers HTTP. */
  readonly core: URL;
  readonly trustProxy: string | undefined;
}

export interface RunningGateway {
  readonly url: string;
  /** Sends the workers away and gives their leases back. Idempotent. */
  close(): Promise<void>;
}

const RETRY_MS = 1_000;

/** A further gateway: takes workers in for a coordinator that it reaches over their common Redis. */
export async function startGateway(
  options: GatewayOptions,
  log: Log,
  signal: AbortSignal,
): Promise<RunningGateway> {
  const connection = { url: options.redisUrl };
  await checkRedis(connection, log.child('redis'));
  const networkId = await networkOf(options.core, log, signal);
  // A process that starts again is another gateway.
  const name = randomBytes(8).toString('hex');
  const wire: RedisWire = new RedisWire(connection, {
    prefix: redisPrefix(networkId),
    name,
    onText: (text) => link.take(text),
  });
  const link: CoreLink = new CoreLink({
    name,
    version: SOFTWARE_VERSION,
    write: (text) => wire.send(CORE, text),
    onLink: (isUp) => log.info(isUp ? 'linked to the coordinator' : 'the coordinator is lost'),
    onFault: (message, error) => log.warn(message, {}, error),
  });
  const addressOf = addressOfRequests(options.trustProxy);
  const readiness = readinessOf({
    redis: async () => {
      await wire.ping();
      return 'answers';
    },
    coordinator: async () => {
      if (!link.isUp) throw new PoolError('UNAVAILABLE', 'the coordinator does not answer');
      return `${link.workers} workers`;
    },
  });
  const http = httpServer(
    readProxy({ core: options.core, readiness, addressOf }),
    connectionLimits(options.trustProxy),
  );
  const gateway = new WorkerGateway({
    desk: link,
    networkId,
    onFault: (message, error) => log.warn(message, {}, error),
  });
  const edge = new WebSocketEdge(http, [gateway], addressOf);
  const listening = await listen(http, options);
  let closed: Promise<void> | undefined;
  const close = async () => {
    await edge.close();
    await link.close();
    await listening.close();
    await wire.close();
  };
  return {
    url: listening.url,
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

/** Asked of the coordinator, which may start later. */
async function networkOf(core: URL, log: Log, signal: AbortSignal): Promise<Uint8Array> {
  const url = new URL(`${core.pathname.replace(/\/$/, '')}/overview`, core);
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await fetch(url, { signal });
      return fromHex(overviewSchema.parse(await answer.json()).network, 32);
    } catch (error) {
      signal.throwIfAborted();
      if (attempt === 0) log.warn('the coordinator does not answer yet', { core: core.origin }, error);
      await sleep(RETRY_MS, undefined, { signal });
    }
  }
}
