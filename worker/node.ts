import { join } from 'node:path';
import type { KeyPair } from '#shared/crypto/keys.ts';
import type { WantedBackend } from '#shared/env.ts';
import type { Capabilities } from '#shared/protocol/capabilities.ts';
import type { Role } from '#shared/protocol/worker.ts';
import { capabilitiesOf, type Machine } from '#worker/capabilities.ts';
import { ChatRole } from '#worker/chat/role.ts';
import { WorkerConnection } from '#worker/client/connection.ts';
import { ReceiptBook } from '#worker/client/receipt-book.ts';
import { Evaluator } from '#worker/evaluate/evaluator.ts';
import { EvaluateRole } from '#worker/evaluate/role.ts';
import type { Log } from '#worker/log.ts';
import { Courtesy } from '#worker/mine/courtesy.ts';
import type { Grinder } from '#worker/mine/grinder.ts';
import { MineRole } from '#worker/mine/role.ts';
import { createWasmGrinder } from '#worker/mine/wasm-grinder.ts';
import { type BackendChoice, chooseBackend, describeBackend } from '#worker/model/backend/choose.ts';
import { ProcessHost } from '#worker/process/host.ts';
import type { ChildSetting } from '#worker/process/setting.ts';
import { Runner, type WorkRole } from '#worker/runner.ts';

/** A small model's evaluation takes seconds; a large one on a CPU may take minutes. */
const EVALUATION_DEADLINE_MS = 30 * 60_000;
const START_DEADLINE_MS = 120_000;
/** Some hundred versions of a small model, or one of a large one. */
const CACHE_BYTES = 8 * 2 ** 30;
const EVALUATIONS_PER_PROCESS = 500;
const CHATS_PER_PROCESS = 2_000;
/** WebAssembly alone may take 4 GiB. */
const LEAST_PROCESS_BYTES = 4 * 2 ** 30;

export interface WorkerOptions {
  readonly coordinator: string;
  readonly dataDir: string;
  readonly roles: readonly Role[];
  /** Hashing threads. */
  readonly threads: number;
  readonly backend: WantedBackend;
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
  const { log, random, key } = deps;
  const send = (message: Parameters<WorkerConnection['send']>[0]) => connection.send(message);
  const parts = await build(options, deps, { key, send, signal });
  const book = new ReceiptBook(join(options.dataDir, 'worker', 'receipts.jsonl'), { ...key, log });
  const runner = new Runner([loggingRole(log), book, ...parts.roles]);
  const connection = new WorkerConnection(
    { coordinator: options.coordinator, worker: describe(options, parts) },
    {
      key,
      owner: deps.owner,
      handlers: runner,
      log,
      random,
      token: deps.token,
      load: () => loadOf(parts, deps),
    },
  );
  log.info('connecting', { coordinator: options.coordinator, address: key.address, backend: parts.backend });
  try {
    await connection.run(signal);
  } finally {
    await runner.close();
    log.info('stopped');
  }
}

interface Line {
  readonly key: KeyPair;
  readonly send: WorkerConnection['send'];
  readonly signal: AbortSignal;
}

async function build(options: WorkerOptions, deps: WorkerDependencies, line: Line): Promise<Parts> {
  const { log, now, machine } = deps;
  const has = (role: Role) => options.roles.includes(role);
  const backend = has('evaluate') || has('chat') ? await choose(options, log, line.signal) : undefined;
  const grinder = has('mine') ? await createWasmGrinder({ threads: options.threads }) : undefined;
  const courtesy = new Courtesy(grinder, machine.cores);
  const during = <T>(compute: () => Promise<T>) => courtesy.during(compute);
  const setting = backend && childSetting(options, backend);
  const evaluateHost = setting && has('evaluate') ? evaluationHost(setting, deps) : undefined;
  const chat = setting && has('chat') ? chatHost(setting, deps) : undefined;
  const hosts = [evaluateHost, chat].filter((host) => host !== undefined);
  try {
    if (hosts[0]) await startProcess(hosts[0], line.signal);
    const mine = grinder && new MineRole({ grinder, send: line.send, log, now });
    const evaluate =
      evaluateHost &&
      new EvaluateRole({
        ...line,
        log,
        now,
        during,
        evaluator: new Evaluator(evaluateHost, { now, deadlineMs: EVALUATION_DEADLINE_MS }),
        close: () => evaluateHost.close(),
      });
    const chatRole = chat && new ChatRole({ host: chat, send: line.send, log, during });
    const roles = [evaluate, mine, chatRole].filter((role) => role !== undefined);
    const capabilities = await capabilitiesOf(machine, backend?.right ?? [], grinder);
    return { mine, evaluate, roles, hosts, backend: backend?.name ?? 'none', capabilities };
  } catch (error) {
    await closeAll(hosts, grinder);
    throw error;
  }
}

async function closeAll(hosts: readonly ProcessHost[], grinder: Grinder | undefined): Promise<void> {
  await Promise.all([...hosts.map((host) => host.close()), grinder?.close()]);
}

async function choose(options: WorkerOptions, log: Log, signal: AbortSignal): Promise<BackendChoice> {
  const backend = await chooseBackend(options.backend, { log, signal });
  for (const note of backend.notes) log.info(note);
  log.info(`computing with ${describeBackend(backend)}`);
  return backend;
}

/** So that the first lease need not wait for it. */
async function startProcess(host: ProcessHost, signal: AbortSignal): Promise<void> {
  await host.request({ request: { kind: 'start' }, signal, deadlineMs: START_DEADLINE_MS });
}

function evaluationHost(setting: ChildSetting, deps: WorkerDependencies): ProcessHost {
  return new ProcessHost(
    {
      entry: new URL('./evaluate/process.ts', import.meta.url),
      setting,
      memoryLimitBytes: processBytes(deps),
      requestsPerChild: EVALUATIONS_PER_PROCESS,
      crashCode: 'EVALUATION_CRASHED',
    },
    deps.log,
  );
}

function chatHost(setting: ChildSetting, deps: WorkerDependencies): ProcessHost {
  return new ProcessHost(
    {
      entry: new URL('./chat/process.ts', import.meta.url),
      setting,
      memoryLimitBytes: processBytes(deps),
      requestsPerChild: CHATS_PER_PROCESS,
      crashCode: 'UNAVAILABLE',
    },
    deps.log,
  );
}

function childSetting(options: WorkerOptions, { name }: BackendChoice): ChildSetting {
  const { coordinator, dataDir, memoryBudgetBytes } = options;
  return {
    coordinator,
    backend: name,
    cacheDir: join(dataDir, 'worker', 'cache'),
    cacheBytes: CACHE_BYTES,
    memoryBudgetBytes,
  };
}

/** Evaluation and chat may fill the machine together, neither may alone. */
function processBytes({ machine }: WorkerDependencies): number {
  return Math.max(LEAST_PROCESS_BYTES, machine.memoryBytes / 2);
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

/** Tells people when the line is up. */
function loggingRole(log: Log): WorkRole {
  return {
    connected: ({ address }) => log.info('connected', { address }),
    message: () => {},
    disconnected: () => {},
    close: async () => {},
  };
}
