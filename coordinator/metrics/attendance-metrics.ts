import { Gauge, type Registry } from 'prom-client';

/** A worker that is here, or missed. */
export interface AttendingWorker {
  readonly name: string;
  readonly address: string;
  readonly connected: boolean;
  readonly lastSeenMs: number;
}

/** Sets the gauges of single workers; those of who is neither here nor missed are dropped. */
export function createAttendanceMetrics(registry: Registry): (workers: readonly AttendingWorker[]) => void {
  const gauge = (name: string, help: string) =>
    new Gauge({ name, help, labelNames: ['worker', 'address'], registers: [registry] });
  const connected = gauge(
    'aiblock_worker_connected',
    '1 while a worker is attached, 0 for a day after it was lost without a goodbye',
  );
  const lastSeen = gauge(
    'aiblock_worker_last_seen_timestamp_seconds',
    'Unix time of the last message of a worker',
  );
  return (workers) => {
    connected.reset();
    lastSeen.reset();
    for (const { name: worker, address, connected: isHere, lastSeenMs } of workers) {
      connected.set({ worker, address }, isHere ? 1 : 0);
      lastSeen.set({ worker, address }, lastSeenMs / 1000);
    }
  };
}
