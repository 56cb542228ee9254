import type { WorkerStatus } from '#worker/status/status.ts';

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** The status in the text format of Prometheus. */
export function statusMetrics(status: WorkerStatus): string {
  const { done, machine, gpus } = status;
  const ofGpus = (value: (gpu: WorkerStatus['gpus'][number]) => number | null): Sample[] =>
    gpus.flatMap((gpu): Sample[] => {
      const found = value(gpu);
      return found === null ? [] : [[{ gpu: gpu.id, name: gpu.name }, found]];
    });
  const one = (value: number): Sample[] => [[{}, value]];
  const outcomes: Sample[] = [
    [{ outcome: 'done' }, done.evaluations],
    [{ outcome: 'failed' }, done.failed_evaluations],
  ];
  return [
    family('connected', ['gauge', '1 while the line to the pool is up'], one(status.connected ? 1 : 0)),
    family('start_timestamp_seconds', ['gauge', 'Unix time of the start'], one(status.started_at / 1000)),
    family('hashes_per_second', ['gauge', 'Hashes per second, measured'], one(status.hashes_per_second)),
    family(
      'tokens_per_second',
      ['gauge', 'Evaluated tokens per second, measured'],
      one(status.tokens_per_second),
    ),
    family('rss_bytes', ['gauge', 'Memory of all processes of the worker'], one(status.rss_bytes)),
    family('load', ['gauge', 'Processes that want a core, over a minute'], one(machine.load)),
    family('unfinished', ['gauge', 'Evaluations and answers that are not finished'], one(status.unfinished)),
    family('evaluations_total', ['counter', 'Evaluations since the start'], outcomes),
    family('shares_total', ['counter', 'Shares sent since the start'], one(done.shares)),
    family('credited_total', ['counter', 'Units of work credited since the start'], one(done.credited)),
    family('answers_total', ['counter', 'Chat answers since the start'], one(done.answers)),
    family(
      'balance_units',
      ['gauge', 'Base units (1e-8 token) on the account that is paid'],
      status.balance === null ? [] : one(Number(status.balance)),
    ),
    family(
      'gpu_utilisation_ratio',
      ['gauge', 'Busy share of a GPU'],
      ofGpus((gpu) => gpu.utilisation),
    ),
    family(
      'gpu_celsius',
      ['gauge', 'Temperature of a GPU'],
      ofGpus((gpu) => gpu.celsius),
    ),
    family(
      'gpu_watts',
      ['gauge', 'Power of a GPU'],
      ofGpus((gpu) => gpu.watts),
    ),
    family(
      'gpu_memory_used_bytes',
      ['gauge', 'Memory in use on a GPU'],
      ofGpus((gpu) => gpu.memory_used_bytes),
    ),
  ].join('');
}

/** `aiblock_machine_`: the pool's own metrics speak of all workers, these of one machine. */
function family(name: string, [kind, help]: readonly [string, string], samples: readonly Sample[]): string {
  const full = `aiblock_machine_${name}`;
  const lines = samples.map(([labels, value]) => `${full}${labelText(labels)} ${value}\n`);
  return `# HELP ${full} ${help}\n# TYPE ${full} ${kind}\n${lines.join('')}`;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return pairs.length > 0 ? `{${pairs.join()}}` : '';
}
