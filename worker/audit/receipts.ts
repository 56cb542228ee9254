import { decodeManifest } from '#shared/block/manifest.ts';
import type { WorkKind, WorkUnit } from '#shared/block/work-log.ts';
import { collectBytes, equalBytes, fromHex, toHex } from '#shared/crypto/bytes.ts';
import { must } from '#shared/errors/pool-error.ts';
import { openReceipt, type Receipt } from '#shared/protocol/receipt.ts';
import { at } from '#worker/audit/finding.ts';
import { type AuditSource, blocksOf } from '#worker/audit/source.ts';

/** What a pool says of its own: the network, and every key that ever signed for it. */
interface PoolKeys {
  readonly networkId: Uint8Array;
  readonly keys: readonly Uint8Array[];
}

/**
 * Holds receipts against the pool that gave them: each is signed by a key that a Meta block names, and its unit stands
 * in the pool's log, byte for byte. SIGNATURE or JOURNAL at the first that does not hold.
 */
export async function checkReceipts(source: AuditSource, receipts: readonly Receipt[]): Promise<WorkUnit[]> {
  const pool = await poolKeys(source);
  const units = receipts.map((receipt, i) => at(`receipt ${i + 1}`, () => openWith(pool, receipt)));
  const pages = new Pages(source);
  for (const [i, unit] of units.entries()) {
    const stored = await pages.unit(unit.kind, unit.seq);
    at(`receipt ${i + 1}`, () =>
      must(
        stored && equalBytes(stored, bytesOf(receipts[i] as Receipt)),
        'JOURNAL',
        `${unit.kind} unit ${unit.seq} of the pool is not the one that it signed for`,
      ),
    );
  }
  return units;
}

const bytesOf = ({ unit }: Receipt) => fromHex(unit, unit.length / 2);

async function poolKeys(source: AuditSource): Promise<PoolKeys> {
  const keys: Uint8Array[] = [];
  let networkId: Uint8Array | undefined;
  for await (const { header, hash } of blocksOf(source, 'A')) {
    networkId ??= hash;
    const payload = await collectBytes(await source.payload(toHex(header.payloadHash)));
    keys.unshift(decodeManifest(payload).pool_key);
  }
  must(networkId, 'BLOCK_LINK', 'the pool has no Meta block');
  return { networkId, keys };
}

/** The newest key first; nearly always it is the only one. */
function openWith({ networkId, keys }: PoolKeys, receipt: Receipt): WorkUnit {
  for (const [i, key] of keys.entries()) {
    try {
      return openReceipt(networkId, receipt, key);
    } catch (error) {
      if (i === keys.length - 1) throw error;
    }
  }
  throw new TypeError('a pool has a key');
}

/** Pages of the logs, each asked for once as long as receipts come in the order of their units. */
class Pages {
  readonly #source: AuditSource;
  readonly #pages = new Map<WorkKind, { from: number; units: readonly Uint8Array[] }>();

  constructor(source: AuditSource) {
    this.#source = source;
  }

  async unit(kind: WorkKind, seq: number): Promise<Uint8Array | undefined> {
    const page = this.#pages.get(kind);
    const known = page && seq >= page.from ? page.units[seq - page.from] : undefined;
    if (known) return known;
    const units = await this.#source.workUnits(kind, seq);
    this.#pages.set(kind, { from: seq, units });
    return units[0];
  }
}
