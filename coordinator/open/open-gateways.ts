import { RemoteGateways, type RemoteGatewaysParts } from '#coordinator/dispatch/link/remote-gateways.ts';
import type { Log } from '#coordinator/log.ts';
import type { RedisConnection } from '#coordinator/queue/redis-connection.ts';
import { RedisWire } from '#coordinator/queue/redis-wire.ts';
import { SOFTWARE_VERSION } from '#shared/version.ts';

/** Under this name the further gateways reach the coordinator. */
export const CORE = 'core';

/** Lets further gateways link to this coordinator over its Redis. */
export function openGateways(
  connection: RedisConnection,
  { prefix, desk, log }: { prefix: string; desk: RemoteGatewaysParts['desk']; log: Log },
): { close(): Promise<void> } {
  const wire = new RedisWire(connection, { prefix, name: CORE, onText: (text) => gateways.take(text) });
  const gateways = new RemoteGateways({
    desk,
    version: SOFTWARE_VERSION,
    write: (gateway, text) => wire.send(gateway, text),
    onGateway: (gateway, connected) => log.info(connected ? 'gateway linked' : 'gateway lost', { gateway }),
    onFault: (message, error) => log.warn(message, {}, error),
  });
  return {
    close: async () => {
      gateways.close();
      await wire.close();
    },
  };
}
