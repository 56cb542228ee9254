import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { ChainsAudit } from '#shared/block/audit-chains.ts';
import { WorkAudit } from '#shared/block/audit-work.ts';
import { blockFromBytes } from '#shared/block/verify-block.ts';
import { WORK_KINDS, type WorkKind } from '#shared/block/work-log.ts';
import { fromHex, toHex } from '#shared/crypto/bytes.ts';
import { openReceipt, type Receipt } from '#shared/protocol/receipt.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';

const bytesOf = (hex: string) => fromHex(hex, hex.length / 2);
const get = async <T>(url: string): Promise<T> => (await (await fetch(url)).json()) as T;

/** Replays both chains from their raw blocks, as a stranger would. */
async function replay(url: string): Promise<{ audit: ChainsAudit; bits: number[]; poolKey: Uint8Array }> {
  const raw = async (chain: 'A' | 'B') =>
    (
      await get<{ blocks: { header: string; body: string }[] }>(`${url}/chain/${chain}/raw?limit=500`)
    ).blocks.map(({ header, body }) => blockFromBytes(bytesOf(header), bytesOf(body)));
  const audit = new ChainsAudit();
  for (const block of await raw('A')) {
    const payload = await (await fetch(`${url}/payload/${toHex(block.header.payloadHash)}`)).arrayBuffer();
    audit.applyMeta(block, new Uint8Array(payload));
  }
  const blocks = await raw('B');
  const seals: Parameters<WorkAudit['seal']>[] = [];
  for (const block of blocks) {
    const sealed = audit.applyParameter(block);
    if (sealed) seals.push([block.header.index, sealed.seal]);
  }
  audit.finish();
  for (const kind of WORK_KINDS) await replayWork(url, kind, seals);
  return { audit, bits: blocks.map(({ header }) => header.bits), poolKey: audit.meta.manifest.pool_key };

  async function replayWork(at: string, kind: WorkKind, named: typeof seals): Promise<void> {
    const work = new WorkAudit(audit.networkId, kind);
    for (const seal of named) work.seal(...seal);
    const { units, place } = await get<{ units: string[]; place: { seq: number; head: string } }>(
      `${at}/work-units/${kind}?limit=500`,
    );
    for (const unit of units) work.append(bytesOf(unit));
    work.finish(Number.POSITIVE_INFINITY);
    assert.deepEqual({ ...work.place, head: toHex(work.place.head) }, place);
    assert.ok(place.seq > 0);
  }
}

describe('mining', { skip: skipWithout('redis-server') }, () => {
  const running: TestCoordinator[] = [];
  after(async () => {
    for (const coordinator of running) await coordinator.destroy();
  });
  const start = async (...options: Parameters<typeof TestCoordinator.start>) => {
    const coordinator = await TestCoordinator.start(...options);
    running.push(coordinator);
    return coordinator;
  };

  it('credits shares and evaluations with receipts that anybody can check, and shows what shares prove', async () => {
    const pool = await start();
    const worker = await pool.attach();
    await pool.commitWhole(0.5);
    const { audit, poolKey } = await replay(pool.url);
    const unitOf = (receipt: Receipt | null) => {
      assert.ok(receipt);
      return openReceipt(audit.networkId, receipt, poolKey);
    };
    const receipts = () => worker.received.filter((m) => m.type === 'credited').map((m) => m.receipt);
    await worker.until(() => receipts().some((receipt) => unitOf(receipt).kind === 'evaluation'));
    const units = receipts().map(unitOf);
    const key = worker.options.key;
    assert.ok(
      units.every(({ worker: by, address }) => toHex(by) === toHex(key.publicKey) && address === key.address),
    );
    const grinding = units.filter(({ kind }) => kind === 'grinding');
    const parts = (await pool.model()).tensors.length;
    assert.equal(grinding.length, parts, 'an easy block is a share, and nothing is easier');
    assert.deepEqual(
      grinding.map(({ seq }) => seq).sort((a, b) => a - b),
      Array.from({ length: parts }, (_, i) => i),
    );
    const { workers } = await get<{ workers: { shares?: { accepted: number; refused: number } }[] }>(
      `${pool.url}/overview`,
    );
    assert.deepEqual([workers[0]?.shares?.accepted, workers[0]?.shares?.refused], [parts, 0]);
    const metrics = await (await fetch(`${pool.url}/metrics`)).text();
    assert.match(metrics, new RegExp(`^aiblock_shares_total\\{outcome="accepted"\\} ${parts}$`, 'm'));
  });

  it('follows the hash rate within submissions, the same for whoever replays it, and after a restart', async () => {
    const retarget = { aim_ms: 60_000, window_blocks: 5, clamp: 2, easiest_bits: 0x207fffff };
    const pool = await start({}, undefined, { pow: { bits: 0x2000ffff, retarget } });
    await pool.attach();
    await pool.commitWhole(0.5);
    const first = (await replay(pool.url)).bits;
    const parts = (await pool.model()).tensors.length;
    const after = first.slice(parts);
    assert.equal(after.length, parts);
    assert.deepEqual(new Set(after.slice(0, 6)), new Set([0x2000ffff]));
    // Faster than it is meant to be: twice as hard after every fifth measured block.
    assert.ok((after[6] as number) < 0x2000ffff && (after[11] as number) < (after[6] as number));
    await pool.restart();
    await pool.attach();
    await pool.commitWhole(1.5);
    const { audit, bits } = await replay(pool.url);
    assert.equal(bits.length, 3 * parts);
    assert.ok(audit.sealed.pow.bits <= (bits.at(-1) as number));
  });
});
