import { RemoteGateways, type RemoteGatewaysParts } from '#coordinator/dispatch/link/remote-gateways.ts';
import type { Log } from '#coordinator/log.ts';
import type { GatewayMetrics } from '#coordinator/metrics/gateway-metrics.ts';
import type { RedisConnection } from '#coordinator/queue/redis-connection.ts';
import { RedisWire } from '#coordinator/queue/redis-wire.ts';
import { SOFTWARE_VERSION } from '#shared/version.ts';

/** Under this name the further gateways reach the coordinator. */
export const CORE = 'core';

/** Lets further gateways link to this coordinator over its Redis. */
export function openGateways(
  connection: RedisConnection,
  context: { prefix: string; desk: RemoteGatewaysParts['desk']; metrics: GatewayMetrics; log: Log },
): { close(): Promise<void> } {
  const { prefix, desk, metrics, log } = context;
  const wire = new RedisWire(connection, { prefix, name: CORE, onText: (text) => gateways.take(text) });
  const gateways = new RemoteGateways({
    desk,
    version: SOFTWARE_VERSION,
    write: (gateway, text) => wire.send(gateway, text),
    onGateway: (gateway, event) => {
      metrics.gateway(event);
      log.info(`gateway ${event}`, { gateway });
    },
    onFault: (message, error) => log.warn(message, {}, error),
  });
  return {
    close: async () => {
      gateways.close();
      await wire.close();
    },
  };
}
