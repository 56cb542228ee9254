import { Gauge, type Registry } from 'prom-client';

/** How the held-out part stands; null where the Meta block reveals none. */
export interface HeldOutStanding {
  /** Shards that no epoch was given yet. */
  readonly shardsLeft: number;
  /** Sealed submissions whose shards are revealed, and whose result is missing. */
  readonly checksDue: number;
}

/** Sets the gauges of the held-out part; there are none where nothing is revealed. */
export function createEpochMetrics(registry: Registry): (standing: HeldOutStanding | null) => void {
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers: [registry] });
  const shardsLeft = gauge('aiblock_held_out_shards_left', 'Held-out shards that no epoch was given yet');
  const checksDue = gauge(
    'aiblock_held_out_checks_due',
    'Sealed submissions that wait for the result of their held-out check',
  );
  return (standing) => {
    if (standing === null) {
      shardsLeft.remove();
      checksDue.remove();
      return;
    }
    shardsLeft.set(standing.shardsLeft);
    checksDue.set(standing.checksDue);
  };
}
