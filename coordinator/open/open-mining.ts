import type { Workers } from '#coordinator/dispatch/workers.ts';
import { Receipts } from '#coordinator/ledger/receipts.ts';
import { ShareLog } from '#coordinator/ledger/share-log.ts';
import type { WorkUnits } from '#coordinator/ledger/work-units.ts';
import type { ShareMetrics } from '#coordinator/metrics/share-metrics.ts';
import type { MiningOptions } from '#coordinator/mining/options.ts';
import { WorkBoard } from '#coordinator/mining/work-board.ts';
import type { KV } from '#coordinator/store/kv.ts';
import type { KeyPair } from '#shared/crypto/keys.ts';

export interface MiningContext {
  readonly kv: KV;
  readonly units: WorkUnits;
  readonly workers: Workers;
  readonly networkId: Uint8Array;
  readonly poolKey: KeyPair;
  readonly metrics: ShareMetrics;
  readonly onFault: (message: string, error: unknown) => void;
}

/** The board that leases nonces, the log behind it, and what the pool signs for credited work. */
export function openMining(options: MiningOptions, context: MiningContext) {
  const { kv, units, workers, networkId, poolKey, metrics, onFault } = context;
  const receipts = new Receipts(networkId, poolKey);
  const shares = new ShareLog({ kv, units, now: Date.now, receipts: (written) => receipts.sign(written) });
  const board = new WorkBoard(
    options,
    { workers, shares, now: Date.now },
    {
      onShare: (share) => metrics.shareAccepted(share),
      onMeasured: () => metrics.shareMeasured(),
      onRefused: (code) => metrics.shareRefused(code),
      onFault,
    },
  );
  const close = async () => {
    board.close();
    await shares.close();
  };
  return { board, receipts, close };
}
