import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Chain } from '#coordinator/chain/chain.ts';
import { openWorkers } from '#coordinator/open/open-workers.ts';
import { type OperatorAccess, readAccess } from '#coordinator/operator/access-file.ts';
import { workerOperations } from '#coordinator/operator/operations.ts';
import { PayloadStore } from '#coordinator/store/payload-store.ts';
import { openRocksKv } from '#coordinator/store/rocks-kv.ts';
import { must, PoolError } from '#shared/errors/pool-error.ts';

const TIMEOUT_MS = 15_000;

export interface OperatorQuestion {
  readonly operation: string;
  readonly input: unknown;
}

/**
 * Asks the coordinator that runs on this data folder, through its operator API; where none runs, does the same on the
 * store itself. The answer is the operation's; rejects with its coded refusal, OPTION where the folder holds no pool.
 */
export async function askOperator(dataDir: string, question: OperatorQuestion): Promise<unknown> {
  const access = await readAccess(dataDir);
  const answered = access && (await askRunning(access, question));
  return answered ? answered.result : askStore(dataDir, question);
}

/** Undefined where nobody listens: the file was left by a coordinator that was killed. */
async function askRunning(
  { url, credential }: OperatorAccess,
  { operation, input }: OperatorQuestion,
): Promise<{ result: unknown } | undefined> {
  const response = await fetch(new URL(operation, url), {
    method: 'POST',
    headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
    body: JSON.stringify(input),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch(() => undefined);
  // Another program may have the port by now, which knows no credential of ours.
  if (!response || response.status === 401) return undefined;
  const body = (await response.json().catch(() => undefined)) as { error?: unknown } | undefined;
  if (response.ok && body !== undefined) return { result: body };
  throw PoolError.fromObject(body?.error);
}

async function askStore(dataDir: string, { operation, input }: OperatorQuestion): Promise<unknown> {
  const store = join(dataDir, 'store');
  const isThere = await stat(store).catch(() => undefined);
  must(isThere, 'OPTION', `${dataDir} holds no pool: name its folder by --data-dir or AIBLOCK_DATA_DIR`);
  const kv = await openRocksKv(store).catch((error: unknown) => {
    if (!(error instanceof PoolError) || error.code !== 'STORE_LOCKED') throw error;
    throw new PoolError(
      'UNAVAILABLE',
      `a pool runs on ${dataDir}, and its operator API does not answer: is it still starting, or under another user?`,
      {},
      { cause: error },
    );
  });
  try {
    must(await Chain.exists(kv), 'OPTION', `${dataDir} holds no chain yet`);
    const { networkId } = await Chain.open(kv, new PayloadStore(kv));
    const parts = await openWorkers(kv, {
      networkId,
      poolToken: '',
      now: Date.now,
      onFault: () => undefined,
    });
    const run = workerOperations(parts)[operation];
    must(run, 'NOT_FOUND', `there is no operation ${operation}`);
    return await run(input);
  } finally {
    await kv.close();
  }
}
