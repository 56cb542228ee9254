import type { EpochView } from '#shared/api/epoch-schemas.ts';
import type { PoolSharesView } from '#shared/api/reward-schemas.ts';
import type { BlockView, Overview, SubmissionView } from '#shared/api/schemas.ts';
import type { WorkerView } from '#shared/api/worker-schemas.ts';

/** Views as the coordinator sends them, for the tests of the page's logic. */

export const hash = (digit: string) => digit.repeat(64);

export function submissionView(over: Partial<SubmissionView> = {}): SubmissionView {
  return {
    id: hash('a'),
    state: 'received',
    miner: '0x52908400098527886E0F7030069857D2E4169EE7',
    base: hash('b'),
    tensors: ['transformer.wte.weight'],
    bytes: 1_024,
    received_at: 1_000,
    updated_at: 1_000,
    history: [{ state: 'received', at: 1_000 }],
    ...over,
  };
}

export function sharesView(): PoolSharesView {
  const window = { scheme: 'pplns', from: 0, to: 3, units: 3, credit: '4' } as const;
  const address = '0x52908400098527886E0F7030069857D2E4169EE7';
  const accounts = [{ address, units: 3, credit: '3', expected: '750' }];
  return {
    reward: '5000000000',
    windows: [
      { kind: 'evaluation', ...window, amount: '1000', accounts, workers: [] },
      { kind: 'grinding', ...window, amount: '750', accounts, workers: [] },
    ],
  };
}

export function workerView(over: Partial<WorkerView> = {}): WorkerView {
  return {
    address: '0x01',
    owner: '0x01',
    name: 'local',
    connected: true,
    standing: 'active',
    roles: ['evaluate'],
    backend: 'wasm',
    threads: 2,
    software: 'aiblock/0.1.0',
    hashes_per_second: 1_000_000,
    tokens_per_second: 9_000,
    rss_bytes: 400_000_000,
    evaluating: 0,
    mining: 0,
    last_seen_at: 1_000,
    ...over,
  };
}

export function overviewView(over: Partial<Overview> = {}): Overview {
  return {
    network: hash('1'),
    name: 'test pool',
    unsafe_keys: true,
    height: { A: 0, B: 2 },
    root: hash('2'),
    head_at: 1_000,
    validation_loss_nats: 6.9,
    parameters: 543_000,
    submissions: { paid: 1 },
    hashes_per_second: 1_000_000,
    minted: '0',
    workers: [workerView()],
    quorum: 1,
    losses: [{ height: 2, at: 1_000, loss_nats: 6.9, measured: true, submission: null }],
    ...over,
  };
}

/** The blocks `first`..`first + parts - 1` of one submission. */
export function blockViews(first: number, parts: number, submission: string): BlockView[] {
  return Array.from({ length: parts }, (_, part) => ({
    version: 1,
    index: first + part,
    timestamp: 1_700_000_000.5 + first,
    prev_hash: hash('0'),
    chain_id: 'B',
    points_to: hash('1'),
    payload_hash: hash('3'),
    payload_size: 100,
    miner_pub: '02'.padEnd(66, '0'),
    payload_sig: '0'.repeat(128),
    nonce: '0'.repeat(16),
    body_hash: hash('4'),
    bits: '1f00ffff',
    hash: hash('5'),
    body: {
      v: 1,
      submission,
      part,
      parts,
      name: `tensor.${part}`,
      dtype: 'F32',
      shape: [5, 5],
      root: hash(`${part % 10}`),
    },
    state: part === parts - 1 ? 'sealed' : 'part',
  }));
}

/** An epoch of two seals that has one. */
export function epochView(change: Partial<EpochView> = {}): EpochView {
  return {
    ...{ number: 0, state: 'open', root: hash('e'), seals: 2, first_shard: 0, shards: 1, revealed_at: null },
    submissions: [{ submission: hash('a'), height: 9, held: null }],
    ...change,
  };
}
