import { randomBytes } from 'node:crypto';
import { Chain } from '#coordinator/chain/chain.ts';
import type { GenesisContent } from '#coordinator/chain/genesis/content.ts';
import {
  createGenesis,
  DEV_TIMESTAMP_MS,
  type GenesisOptions,
  writeGenesis,
} from '#coordinator/chain/genesis/create-genesis.ts';
import { devGenesis } from '#coordinator/chain/genesis/dev-genesis.ts';
import { refuseDevKeys, UNSAFE_DEV_GOVERNOR, UNSAFE_DEV_POOL } from '#coordinator/chain/genesis/dev-keys.ts';
import { trainedGate } from '#coordinator/chain/genesis/gates.ts';
import { UNWATCHED, type Watch } from '#coordinator/progress.ts';
import { newKeyPair, readSecret, workerToken, writeSecret } from '#coordinator/store/key-files.ts';
import type { KV } from '#coordinator/store/kv.ts';
import type { PayloadStore } from '#coordinator/store/payload-store.ts';
import { keyPair } from '#shared/crypto/keys.ts';
import { must } from '#shared/errors/pool-error.ts';
import { countWindows } from '#shared/pol/windows.ts';

export interface InitOptions {
  readonly dataDir: string;
  readonly name: string;
  /** The development network: fixed, public keys and the same genesis everywhere. */
  readonly dev: boolean;
  /** A governor's key that exists already. */
  readonly governorSecret?: Uint8Array;
  readonly nowMs: number;
  /** What the chain starts from; the development network's model where nothing is given. */
  readonly content?: GenesisContent;
  /** What differs from the development network's gate. */
  readonly gate?: GenesisOptions['gate'];
  /** Workers that must agree on a submission. */
  readonly attestations?: number | undefined;
  /** Seals of an epoch, and the shards it reveals. */
  readonly epoch?: GenesisOptions['epoch'];
}

export interface InitResult {
  readonly networkId: Uint8Array;
  readonly governor: string;
  readonly pool: string;
  readonly blocks: number;
}

/**
 * Makes a new chain in an empty store: keys, then genesis of both chains in one batch. OPTION where there is one. What
 * a broken-off try left behind (keys, payloads) is used again.
 */
export async function initChain(
  stores: { kv: KV; payloads: PayloadStore },
  options: InitOptions,
  watch: Watch = UNWATCHED,
): Promise<InitResult> {
  await refuseSecondChain(stores.kv, options.dataDir);
  const content = options.content ?? devGenesis();
  const keys = await keysOf(options);
  const gate = options.gate ?? (options.content && trainedGate(countWindows(content.publicShards)));
  const { name, attestations, epoch } = options;
  const quorum = attestations === undefined ? {} : { attestations };
  const genesis = createGenesis({ ...keys, name, content, gate, quorum, epoch });
  await writeGenesis(stores, { genesis, content }, watch);
  return {
    networkId: genesis.meta.hash,
    governor: keys.governor.address,
    pool: keys.pool.address,
    blocks: genesis.blocks.length,
  };
}

/** OPTION where the store holds a chain. */
export async function refuseSecondChain(kv: KV, dataDir: string): Promise<void> {
  must(!(await Chain.exists(kv)), 'OPTION', `${dataDir} holds a chain already: expected an empty folder`);
}

/** The keys stand on disk before the chain that depends on them; those of a broken-off try are used again. */
async function keysOf(
  options: InitOptions,
): Promise<Pick<GenesisOptions, 'governor' | 'pool' | 'unsafeKeys' | 'timestampMs'>> {
  const { dataDir, dev, governorSecret } = options;
  if (!dev && governorSecret) refuseDevKeys(keyPair(governorSecret)); // before it is kept
  await writeSecret(dataDir, 'salts', new Uint8Array(randomBytes(32)));
  await workerToken(dataDir);
  await writeSecret(
    dataDir,
    'governor',
    dev ? UNSAFE_DEV_GOVERNOR.secretKey : (governorSecret ?? newKeyPair().secretKey),
  );
  await writeSecret(dataDir, 'pool', dev ? UNSAFE_DEV_POOL.secretKey : newKeyPair().secretKey);
  const governor = keyPair(await readSecret(dataDir, 'governor'));
  const pool = keyPair(await readSecret(dataDir, 'pool'));
  if (!dev) refuseDevKeys(governor, pool);
  return { governor, pool, unsafeKeys: dev, timestampMs: dev ? DEV_TIMESTAMP_MS : options.nowMs };
}
