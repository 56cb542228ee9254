import { Counter, Gauge, type Registry } from 'prom-client';

/** A further gateway is linked, said goodbye or made another link, or went silent or lost a frame. */
export type GatewayEvent = 'linked' | 'left' | 'lost';

export interface GatewayMetrics {
  gateway(event: GatewayEvent): void;
}

/** Further gateways that are linked, and those that were lost without a goodbye. */
export function createGatewayMetrics(registry: Registry): GatewayMetrics {
  const registers = [registry];
  const linked = new Gauge({
    ...{ name: 'aiblock_gateways_linked', help: 'Further gateways that are linked', registers },
  });
  const lost = new Counter({
    ...{
      name: 'aiblock_gateways_lost_total',
      help: 'Further gateways that went without a goodbye',
      registers,
    },
  });
  return {
    gateway(event) {
      if (event === 'linked') linked.inc();
      else linked.dec();
      if (event === 'lost') lost.inc();
    },
  };
}
