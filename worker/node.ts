import { join } from 'node:path';
import type { KeyPair } from '#shared/crypto/keys.ts';
import type { WantedBackend } from '#shared/env.ts';
import type { Capabilities } from '#shared/protocol/capabilities.ts';
import type { Role } from '#shared/protocol/worker.ts';
import { capabilitiesOf, type Machine } from '#worker/capabilities.ts';
import { ChatRole } from '#worker/chat/role.ts';
import { WorkerConnection } from '#worker/client/connection.ts';
import { ReceiptBook } from '#worker/client/receipt-book.ts';
import { chooseDevices, readGpus } from '#worker/devices.ts';
import { Evaluator } from '#worker/evaluate/evaluator.ts';
import { EvaluateRole } from '#worker/evaluate/role.ts';
import { chatHost, evaluationHosts, type Seat } from '#worker/hosts.ts';
import type { Log } from '#worker/log.ts';
import { chooseGrinder, grinderMakers, mayHaveGpu } from '#worker/mine/choose-grinder.ts';
import { Courtesy } from '#worker/mine/courtesy.ts';
import type { Grinder } from '#worker/mine/grinder.ts';
import { MineRole } from '#worker/mine/role.ts';
import type { WantedGrinder } from '#worker/mine/wanted-grinder.ts';
import { chooseBackend, describeBackend } from '#worker/model/backend/choose.ts';
import type { ProcessHost } from '#worker/process/host.ts';
import { Runner, type WorkRole } from '#worker/runner.ts';
import { Health } from '#worker/status/health.ts';
import { StatusReporter } from '#worker/status/reporter.ts';
import { StatusServer } from '#worker/status/server.ts';
import { mustBeAlone, statusFile } from '#worker/status/status-file.ts';
import { Tally } from '#worker/status/tally.ts';

/** A small model's evaluation takes seconds; a large one on a CPU may take minutes. */
const EVALUATION_DEADLINE_MS = 30 * 60_000;
const START_DEADLINE_MS = 120_000;

export interface WorkerOptions {
  /** Of one pool: the next is tried where one does not answer. */
  readonly coordinators: readonly string[];
  readonly dataDir: string;
  readonly roles: readonly Role[];
  /** Hashing threads. */
  readonly threads: number;
  readonly grinder: WantedGrinder;
  readonly backend: WantedBackend;
  /** Ids of `chooseDevices`; where it is left out, the backend takes what it finds. */
  readonly devices?: readonly string[] | undefined;
  /** Evaluations at once on each device, each in a process of its own. */
  readonly evaluators: number;
  /** After a signal to stop, what was begun may take this long; then it is given back. */
  readonly drainMs: number;
  /** Of the status page on loopback; false for none. */
  readonly statusPort: number | false;
  readonly name: string;
  readonly software: string;
  /** Weights in the memory of each computing process at most; a larger model is computed layer by layer. */
  readonly memoryBudgetBytes?: number | undefined;
}

export interface WorkerDependencies {
  readonly log: Log;
  readonly now: () => number;
  readonly random: () => number;
  /** What it proves who it is with, and signs its results. */
  readonly key: KeyPair;
  readonly machine: Machine;
  /** Whom it works for; itself, or whom its enrolment names, where it is left out. */
  readonly owner?: KeyPair | undefined;
  token(): Promise<string | undefined>;
  /** Bytes resident in this process. */
  memoryBytes(): number;
}

/** Everything a worker is made of. */
interface Parts {
  readonly mine: MineRole | undefined;
  readonly evaluate: EvaluateRole | undefined;
  readonly roles: readonly WorkRole[];
  readonly hosts: readonly ProcessHost[];
  readonly backend: string;
  readonly capabilities: Capabilities;
}

/**
 * Builds a worker and runs it until the signal is aborted: then it says goodbye, gives its leases back, ends
 * its processes and resolves. Rejects with the coordinator's error where this worker is refused for good.
 */
export async function runWorker(
  options: WorkerOptions,
  deps: WorkerDependencies,
  signal: AbortSignal,
): Promise<void> {
  await mustBeAlone(statusFile(options.dataDir), deps.key.address);
  const tally = new Tally(deps.now);
  const log = tally.listening(deps.log);
  const { random, key } = deps;
  const send = tally.counting((message) => connection.send(message));
  const parts = await build(options, { ...deps, log }, { key, send, signal });
  const book = new ReceiptBook(join(options.dataDir, 'worker', 'receipts.jsonl'), { ...key, log });
  const runner = new Runner([loggingRole(log), tally, book, ...parts.roles]);
  const health = await Health.start(tally, deps.now);
  const connection = new WorkerConnection(
    { coordinators: options.coordinators, drainMs: options.drainMs, worker: describe(options, parts) },
    {
      key,
      owner: deps.owner,
      handlers: runner,
      log,
      random,
      token: deps.token,
      load: () => {
        const told = health.get();
        return { ...loadOf(parts, deps), ...(told && { health: told }) };
      },
    },
  );
  const status = await startStatus(options, deps, { parts, tally, runner }).catch(async (error: unknown) => {
    await runner.close();
    throw error;
  });
  log.info('connecting', {
    coordinator: options.coordinators.join(),
    address: key.address,
    backend: parts.backend,
    status: status?.url,
  });
  try {
    await connection.run(signal);
  } finally {
    health.close();
    await status?.close();
    await runner.close();
    log.info('stopped');
  }
}

async function startStatus(
  options: WorkerOptions,
  deps: WorkerDependencies,
  { parts, tally, runner }: { parts: Parts; tally: Tally; runner: Runner },
): Promise<StatusServer | undefined> {
  if (options.statusPort === false) return undefined;
  const about = { ...options, address: deps.key.address, capabilities: parts.capabilities };
  const load = () => loadOf(parts, deps);
  const unfinished = () => runner.unfinished;
  const reporter = new StatusReporter(about, { tally, now: deps.now, load, unfinished });
  return StatusServer.start({
    port: options.statusPort,
    file: statusFile(options.dataDir),
    status: () => reporter.status(),
  });
}

interface Line {
  readonly key: KeyPair;
  readonly send: WorkerConnection['send'];
  readonly signal: AbortSignal;
}

async function build(options: WorkerOptions, deps: WorkerDependencies, line: Line): Promise<Parts> {
  const { log, now, machine } = deps;
  const has = (role: Role) => options.roles.includes(role);
  const seats = has('evaluate') || has('chat') ? await chooseSeats(options, log, line.signal) : [];
  const grinder = has('mine') ? await pickGrinder(options, log) : undefined;
  const courtesy = new Courtesy(grinder, machine.cores);
  const during = <T>(compute: () => Promise<T>) => courtesy.during(compute);
  const places = { ...options, memoryBytes: machine.memoryBytes };
  const evaluators = has('evaluate') ? evaluationHosts(seats, places, log) : [];
  const chat = seats[0] && has('chat') ? chatHost(seats[0], places, log) : undefined;
  const hosts = [...evaluators, ...(chat ? [chat] : [])];
  try {
    await Promise.all(evaluators.map((host) => startProcess(host, line.signal)));
    if (chat && evaluators.length === 0) await startProcess(chat, line.signal);
    const mine = grinder && new MineRole({ grinder, send: line.send, log, now });
    const evaluate = has('evaluate')
      ? new EvaluateRole({
          ...line,
          log,
          now,
          during,
          evaluators: evaluators.map(
            (host) => new Evaluator(host, { now, deadlineMs: EVALUATION_DEADLINE_MS }),
          ),
          close: () => closeAll(evaluators, undefined),
        })
      : undefined;
    const chatRole = chat && new ChatRole({ host: chat, send: line.send, log, during });
    const roles = [evaluate, mine, chatRole].filter((role) => role !== undefined);
    const reports = seats.flatMap(({ backend }) => (seats.length > 1 ? [backend] : backend.right));
    const capabilities = await capabilitiesOf(machine, reports, grinder);
    return { mine, evaluate, roles, hosts, backend: seats[0]?.backend.name ?? 'none', capabilities };
  } catch (error) {
    await closeAll(hosts, grinder);
    throw error;
  }
}

async function pickGrinder({ grinder: wanted, threads }: WorkerOptions, log: Log): Promise<Grinder> {
  const hasGpu = await mayHaveGpu();
  const { name, grinder } = await chooseGrinder(wanted, grinderMakers(threads, log), { log, hasGpu });
  log.info(`hashing with ${name}`, { threads: grinder.threads });
  return grinder;
}

async function closeAll(hosts: readonly ProcessHost[], grinder: Grinder | undefined): Promise<void> {
  await Promise.all([...hosts.map((host) => host.close()), grinder?.close()]);
}

/** The fastest right backend on each device; one after another, so that none disturbs another's measurement. */
async function chooseSeats(options: WorkerOptions, log: Log, signal: AbortSignal): Promise<Seat[]> {
  const devices = chooseDevices(options.devices, options.devices ? await readGpus() : []);
  const seats: Seat[] = [];
  for (const device of devices ?? [undefined]) {
    const backend = await chooseBackend(options.backend, { log, signal, device });
    for (const note of backend.notes) log.info(note);
    log.info(`computing with ${describeBackend(backend)}`, device && { device: device.id });
    seats.push({ device, backend });
  }
  return seats;
}

/** So that the first lease need not wait for it. */
async function startProcess(host: ProcessHost, signal: AbortSignal): Promise<void> {
  await host.request({ request: { kind: 'start' }, signal, deadlineMs: START_DEADLINE_MS });
}

function describe({ name, software, roles, threads }: WorkerOptions, { backend, capabilities }: Parts) {
  return { name, software, roles, backend, threads: roles.includes('mine') ? threads : 0, capabilities };
}

function loadOf({ mine, evaluate, hosts }: Parts, deps: WorkerDependencies) {
  return {
    hashesPerSecond: mine?.hashesPerSecond ?? 0,
    tokensPerSecond: evaluate?.tokensPerSecond ?? 0,
    rssBytes: hosts.reduce((sum, { rssBytes }) => sum + rssBytes, deps.memoryBytes()),
  };
}

const STANDING_TEXT = {
  active: 'the operator gives this worker work again',
  paused: 'the operator paused this worker: it gets no work until he resumes it',
  draining:
    'the operator drains this worker: it finishes what it holds and gets nothing new until he resumes it',
  revoked: 'the operator revoked the key of this worker',
} as const;

/** Tells people when the line is up, and what the operator decided. */
function loggingRole(log: Log): WorkRole {
  return {
    connected: ({ address, owner }) => log.info('connected', { address, owner }),
    message: (message) => {
      if (message.type === 'standing')
        log.warn(STANDING_TEXT[message.standing], { standing: message.standing });
    },
    disconnected: () => {},
    close: async () => {},
  };
}
