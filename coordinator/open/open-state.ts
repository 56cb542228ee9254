import { join } from 'node:path';
import { Chain } from '#coordinator/chain/chain.ts';
import { Epochs } from '#coordinator/chain/epochs.ts';
import { Ledger } from '#coordinator/ledger/ledger.ts';
import { RewardWindows } from '#coordinator/ledger/reward-windows.ts';
import { WorkUnits } from '#coordinator/ledger/work-units.ts';
import type { Log } from '#coordinator/log.ts';
import type { Closers } from '#coordinator/open/closers.ts';
import type { CoordinatorOptions } from '#coordinator/options.ts';
import type { KV } from '#coordinator/store/kv.ts';
import { PayloadStore } from '#coordinator/store/payload-store.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { Submissions } from '#coordinator/store/submissions.ts';
import { must } from '#shared/errors/pool-error.ts';

/** What stands in the data folder, and the options and log of whoever opened it. */
export interface State {
  readonly options: CoordinatorOptions;
  readonly log: Log;
  readonly kv: KV;
  readonly payloads: PayloadStore;
  readonly chain: Chain;
  readonly epochs: Epochs;
  readonly ledger: Ledger;
  readonly units: WorkUnits;
  readonly windows: RewardWindows;
  readonly submissions: Submissions;
}

/** Opens the store and all that is read from it; makes the development network where that is asked for. OPTION where there is no chain. */
export async function openState(options: CoordinatorOptions, log: Log, closers: Closers): Promise<State> {
  const kv = await openRocksKv(join(options.dataDir, 'store'));
  closers.push(() => kv.close());
  const payloads = new PayloadStore(kv);
  if (options.initDev && !(await Chain.exists(kv))) {
    log.info('making the development network');
    // Late: the text and the tokenizer's training are needed once in the life of a folder.
    const { initChain } = await import('#coordinator/chain/init.ts');
    await initChain(
      { kv, payloads },
      { dataDir: options.dataDir, name: 'AI-Block development network', dev: true, nowMs: Date.now() },
    );
  }
  must(
    await Chain.exists(kv),
    'OPTION',
    `${options.dataDir} holds no chain yet: make one with \`aiblock init\`, or restore a backup`,
  );
  const chain = await Chain.open(kv, payloads);
  const epochs = await Epochs.open(kv, chain);
  const ledger = await Ledger.open(kv, chain.networkId);
  const units = await WorkUnits.open(kv, chain.networkId);
  const submissions = await Submissions.open(kv, Date.now);
  const windows = new RewardWindows(units, chain);
  return { options, log, kv, payloads, chain, epochs, ledger, units, windows, submissions };
}
