import { formatAmount } from '#shared/money.ts';
import type { WorkerStatus } from '#worker/status/status.ts';

/** The status as pairs of words, for page and terminal. */
export function statusLines(status: WorkerStatus, now: number): [what: string, text: string][] {
  const { done, machine, last_trouble: trouble } = status;
  const line = `${status.connected ? 'up' : 'down'} for ${duration(now - status.connected_since)}`;
  return [
    ['worker', `${status.name}, ${status.software}, running for ${duration(now - status.started_at)}`],
    ['address', status.address],
    ['paid to', status.owner === status.address ? 'itself' : status.owner],
    ['pool', `${status.coordinators.join(', ')}: ${line}`],
    ['standing', status.standing],
    ['roles', status.roles.join(', ')],
    ...status.backends.map(({ name, device, gflops }): [string, string] => [
      `backend ${name}`,
      `${device}, ${gflops} GFLOP/s`,
    ]),
    ...status.gpus.map((gpu): [string, string] => [`GPU ${gpu.id}`, gpuText(gpu)]),
    [
      'machine',
      `load ${machine.load.toFixed(2)} on ${machine.cores} cores, ${bytes(machine.memory_free_bytes)} of ${bytes(machine.memory_bytes)} free`,
    ],
    ['memory', `${bytes(status.rss_bytes)} in its processes`],
    [
      'evaluation',
      `${whole(status.tokens_per_second)} tokens/s, ${done.evaluations} done, ${done.failed_evaluations} failed, ${status.unfinished} unfinished`,
    ],
    [
      'hashing',
      `${whole(status.hashes_per_second)} hashes/s, ${done.shares} shares sent, ${done.credited} units of work credited`,
    ],
    ['chat', `${done.answers} answers`],
    ['earnings', earnings(status)],
    ['last trouble', trouble ? `${duration(now - trouble.at)} ago: ${trouble.message}` : 'none'],
  ];
}

function earnings({ balance, vesting }: WorkerStatus): string {
  if (balance === null) return 'the pool does not tell';
  const waiting = vesting === null || vesting === '0' ? '' : `, ${formatAmount(BigInt(vesting))} vesting`;
  return `balance ${formatAmount(BigInt(balance))}${waiting}`;
}

function gpuText(gpu: WorkerStatus['gpus'][number]): string {
  const { name, utilisation, celsius, watts, memory_used_bytes: used, memory_bytes: all } = gpu;
  return [
    name,
    ...(utilisation === null ? [] : [`${whole(utilisation * 100)} % busy`]),
    ...(celsius === null ? [] : [`${celsius} °C`]),
    ...(watts === null ? [] : [`${whole(watts)} W`]),
    ...(used === null || all === null ? [] : [`${bytes(used)} of ${bytes(all)} used`]),
  ].join(', ');
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function bytes(count: number): string {
  return `${(count / 1e9).toFixed(1)} GB`;
}

const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
] as const;

/** In its largest unit. */
function duration(ms: number): string {
  for (const [unit, name] of UNITS) if (ms >= unit) return `${Math.floor(ms / unit)} ${name}`;
  return `${Math.max(0, Math.floor(ms / 1000))} s`;
}
