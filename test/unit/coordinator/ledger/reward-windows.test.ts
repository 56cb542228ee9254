import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RewardWindows } from '#coordinator/ledger/reward-windows.ts';
import { WorkUnits } from '#coordinator/ledger/work-units.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { NO_WORK, type Work, type WorkPlaces } from '#shared/block/work-log.ts';
import { META, NETWORK, SECOND_WORKER, WORKER } from '#test/helpers/forge.ts';

type Scheme = Pick<Manifest['reward'], 'scheme' | 'window_units'>;

class Pool {
  readonly kv: MemoryKv;
  readonly units: WorkUnits;
  readonly chain = { meta: META, sealed: { work: NO_WORK } as never };
  #count = 0;

  private constructor(kv: MemoryKv, units: WorkUnits) {
    this.kv = kv;
    this.units = units;
  }

  static async open(): Promise<Pool> {
    const kv = new MemoryKv();
    return new Pool(kv, await WorkUnits.open(kv, NETWORK));
  }

  /** Credits in order, by turns to two workers. */
  async grind(...credits: bigint[]): Promise<void> {
    const work = credits.map((credit): Work => {
      const { publicKey: worker, address } = this.#count % 2 === 0 ? WORKER : SECOND_WORKER;
      return { worker, address, credit, ref: new Uint8Array(32).fill(200 - this.#count++) };
    });
    const prepared = this.units.prepare('grinding', work, 1);
    await this.kv.batch(prepared.ops);
    this.units.apply(prepared);
  }

  rule(reward: Scheme): void {
    const manifest = { ...META.manifest, reward: { ...META.manifest.reward, ...reward } };
    Object.assign(this.chain, { meta: { ...META, manifest } });
  }

  seal(work: WorkPlaces = this.units.places): void {
    Object.assign(this.chain, { sealed: { work } });
  }
}

async function creditsIn(windows: RewardWindows): Promise<bigint[]> {
  const { grinding } = await windows.now();
  return grinding.holdings.map(({ credit }) => credit).sort((a, b) => Number(a - b));
}

describe('RewardWindows', () => {
  it('holds the newest units, whether it saw them come or reads them from the store', async () => {
    const pool = await Pool.open();
    pool.rule({ window_units: 3 });
    const live = new RewardWindows(pool.units, pool.chain);
    assert.deepEqual(await creditsIn(live), []);
    await pool.grind(1n, 2n, 4n);
    await pool.grind(8n);
    assert.deepEqual(await creditsIn(live), [4n, 10n]);
    const again = new RewardWindows(await WorkUnits.open(pool.kv, NETWORK), pool.chain);
    assert.deepEqual(await creditsIn(again), [4n, 10n]);
    const { places, grinding } = await live.now();
    assert.deepEqual([places.grinding.seq, grinding.span.from, grinding.span.to], [4, 1, 4]);
  });

  it('is built while units are on the disk that are not yet appended', async () => {
    const pool = await Pool.open();
    pool.rule({ window_units: 10 });
    await pool.grind(1n, 2n);
    const work: Work = { worker: WORKER.publicKey, address: WORKER.address, credit: 4n, ref: NETWORK };
    const units = await WorkUnits.open(pool.kv, NETWORK);
    const windows = new RewardWindows(units, pool.chain);
    const prepared = units.prepare('grinding', [work], 1);
    await pool.kv.batch(prepared.ops);
    assert.deepEqual(await creditsIn(windows), [1n, 2n]);
    units.apply(prepared);
    assert.deepEqual(await creditsIn(windows), [2n, 5n]);
  });

  it('goes by the Meta block that rules: a longer window, another scheme', async () => {
    const pool = await Pool.open();
    pool.rule({ window_units: 1 });
    const windows = new RewardWindows(pool.units, pool.chain);
    await pool.grind(1n, 2n, 4n);
    pool.seal();
    await pool.grind(8n, 16n);
    assert.deepEqual(await creditsIn(windows), [16n]);
    pool.rule({ window_units: 4 });
    assert.deepEqual(await creditsIn(windows), [10n, 20n]);
    pool.rule({ scheme: 'prop', window_units: 1 });
    assert.deepEqual(await creditsIn(windows), [8n, 16n]);
    pool.rule({ scheme: 'solo', window_units: 4 });
    assert.deepEqual(await creditsIn(windows), [16n], 'its hash is the lowest since the seal');
    pool.seal();
    assert.deepEqual(await creditsIn(windows), []);
    pool.rule({ window_units: 100 });
    assert.deepEqual(await creditsIn(windows), [10n, 21n]);
  });

  it('misses nothing that is appended while it reads', async () => {
    const pool = await Pool.open();
    pool.rule({ window_units: 10 });
    await pool.grind(1n, 2n);
    const encoded = pool.units.encoded.bind(pool.units);
    let more = 2;
    pool.units.encoded = async (...asked) => {
      const page = await encoded(...asked);
      if (more-- > 0) await pool.grind(16n);
      return page;
    };
    const windows = new RewardWindows(pool.units, pool.chain);
    assert.deepEqual(await creditsIn(windows), [17n, 18n]);
    await pool.grind(1n);
    assert.deepEqual(await creditsIn(windows), [18n, 18n]);
  });
});
