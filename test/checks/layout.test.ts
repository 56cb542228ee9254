import assert from 'node:assert/strict';
import { it } from 'node:test';
import { FILES, findInCode, IMPORTS, type Import, read, SOURCES } from './repository.ts';

const TOP_LEVEL = new Set([
  ...['package.json', 'package-lock.json', 'tsconfig.json', 'biome.json', 'docker-compose.yml'],
  ...['README.md', 'LICENSE', 'CHANGELOG.md', 'CONTRIBUTING.md'],
  ...['coordinator', 'worker', 'shared', 'grafana', 'test'],
  ...['.ci', '.dockerignore', '.editorconfig', '.gitattributes', '.github', '.gitignore', '.npmrc', '.nvmrc'],
]);
/** The folders of the life of a submission, in its order. */
const STAGES = ['submission', 'queue', 'evaluation', 'mining', 'commit', 'payout', 'chat'];
/** The stages in order, their construction, and their options in one place. */
const MAY_KNOW_ALL = /^coordinator\/(pipeline|node|options)\.ts$/;
/** Packages that compute only. */
const PURE_PACKAGES = /^(@noble\/(curves|hashes)|@bitauth\/libauth|cborg|zod|@huggingface\/tokenizers)(\/|$)/;
/** Where a program begins; worker/…/process.ts is the main file of a child process. */
const ENTRY = /(^|\/)(main|env)\.ts$|^worker\/\w+\/process\.ts$/;

const stageOf = (path: string) => STAGES.find((stage) => path.startsWith(`coordinator/${stage}/`));
const isOurs = (path: string) => /^(shared|coordinator|worker|test)\//.test(path);

function noImport(breaks: (found: Import) => boolean, mend: string): void {
  none(
    IMPORTS.filter(breaks).map(({ from, to }) => `${from} imports ${to}`),
    mend,
  );
}

function none(found: readonly string[], mend: string): void {
  assert.ok(found.length === 0, `${mend}\n  ${[...new Set(found)].join('\n  ')}`);
}

it('sees the imports', () => {
  assert.ok(IMPORTS.length > SOURCES.length);
  none(
    IMPORTS.filter(({ to }) => isOurs(to) && !FILES.includes(to) && !to.endsWith('/')).map(({ from, to }) => {
      return `${from} imports ${to}`;
    }),
    'these imports lead nowhere: mend the path, with its ending',
  );
});

it('has nothing at the top level without a reason', () => {
  none(
    FILES.map((path) => path.split('/')[0] as string).filter((name) => !TOP_LEVEL.has(name)),
    'move these into a folder, or add them to TOP_LEVEL with a reason',
  );
});

it('keeps stages apart', () => {
  noImport(
    ({ from, to }) =>
      stageOf(from) !== undefined && stageOf(to) !== undefined && stageOf(from) !== stageOf(to),
    'a stage imports no other stage: declare the narrow interface it needs, and let pipeline.ts pass the other one in',
  );
});

it('lets only pipeline.ts know several stages, and only node.ts construct them', () => {
  const stages = new Map<string, Set<string>>();
  for (const { from, to, typeOnly } of IMPORTS) {
    const stage = stageOf(to);
    if (stage === undefined || typeOnly || MAY_KNOW_ALL.test(from)) continue;
    stages.set(from, (stages.get(from) ?? new Set()).add(stage));
  }
  none(
    [...stages].filter(([, of]) => of.size > 1).map(([from, of]) => `${from} imports ${[...of].join(', ')}`),
    'the order of the stages is the business of coordinator/pipeline.ts alone',
  );
});

it('keeps the edges away from the store', () => {
  noImport(
    ({ from, to }) => /^coordinator\/(http|ws)\//.test(from) && to.startsWith('coordinator/store/'),
    'http/ and ws/ ask the chain, the ledger or a stage, never the store',
  );
});

it('imports RocksDB in one file', () => {
  noImport(
    ({ from, to }) => to === 'rocksdb-native' && from !== 'coordinator/store/rocks-kv.ts',
    'use the KV interface of coordinator/store/kv.ts',
  );
});

it('imports BullMQ and the Redis client in coordinator/queue alone', () => {
  noImport(
    ({ from, to }) => /^(bullmq|ioredis)(\/|$)/.test(to) && !from.startsWith('coordinator/queue/'),
    'add what you need to the interface that coordinator/queue offers',
  );
});

it('imports TensorFlow.js in worker/{model,evaluate,chat,train} alone', () => {
  noImport(
    ({ from, to }) => to.startsWith('@tensorflow/') && !/^worker\/(model|evaluate|chat|train)\//.test(from),
    'use the interface of worker/model',
  );
});

it('keeps coordinator and worker apart', () => {
  noImport(
    ({ from, to }) =>
      (from.startsWith('coordinator/') && to.startsWith('worker/')) ||
      (from.startsWith('worker/') && to.startsWith('coordinator/')),
    'what both need belongs into shared/, if it is pure; otherwise one starts the other as a process',
  );
});

it('keeps shared/ pure: its own modules and packages that only compute', () => {
  noImport(
    ({ from, to }) => from.startsWith('shared/') && !to.startsWith('shared/') && !PURE_PACKAGES.test(to),
    'shared/ has no I/O, no clock and no process: pass in what it needs',
  );
  none(
    findInCode(
      SOURCES.filter((path) => path.startsWith('shared/')),
      /\bDate\.now\(|\bnew Date\(\)|\bperformance\.|\bMath\.random\(|\bconsole\.|\bset(Timeout|Interval)\(|\bfetch\(/,
    ),
    'shared/ has no I/O, no clock and no chance: pass in what it needs',
  );
});

it('touches the process where a program begins, and in env.ts, alone', () => {
  const others = SOURCES.filter((path) => !ENTRY.test(path));
  none(
    findInCode(others, /(?<![\w.#$/-])process\s*\.\s*\w|\bglobalThis\.process\b/),
    'pass in what main.ts or env.ts reads, or import `pid`, `kill` or `execPath` from node:process',
  );
  const state = /\b(argv|env|exit|exitCode|stdin|stdout|stderr|on|once|chdir|send)\b/;
  none(
    others.filter((path) => {
      const names = /import\s*(.*?)\s*from 'node:process'/.exec(read(path) ?? '');
      return names !== null && (state.test(names[1] ?? '') || !names[1]?.startsWith('{'));
    }),
    'of node:process only what is no state of the program may be imported: pid, kill, execPath, …',
  );
});
