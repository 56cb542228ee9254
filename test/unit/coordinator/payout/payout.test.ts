import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ledger } from '#coordinator/ledger/ledger.ts';
import { PayoutStage } from '#coordinator/payout/payout.ts';
import { MemoryKv } from '#coordinator/store/memory-kv.ts';
import type { SubmissionRecord } from '#coordinator/store/submissions.ts';
import { WriteLock } from '#coordinator/store/write-lock.ts';
import type { Move } from '#shared/block/journal.ts';
import type { Manifest } from '#shared/block/manifest.ts';
import { NO_WORK } from '#shared/block/work-log.ts';
import { accruedAccount } from '#shared/reward/keyless-account.ts';
import { bodyAt, CHAIN, META, MINER, NETWORK, SECOND_WORKER, toBlock, WORKER } from '#test/helpers/forge.ts';

const HEAD = CHAIN.blocks.length - 1;
const ref = new Uint8Array(32).fill(8);
const owner = WORKER.address;
const account = accruedAccount(NETWORK, owner);
const move = (kind: Move['kind'], from: string | null, to: string | null, amount: bigint): Move => ({
  ...{ kind, ref, from, to, amount },
});

/** A payout stage on a ledger in memory; its chain is that of the vectors, with another reward. */
class Stage {
  readonly kv = new MemoryKv();
  readonly lock = new WriteLock();
  readonly ledger: Ledger;
  readonly stage: PayoutStage;

  private constructor(ledger: Ledger, kv: MemoryKv, reward: Partial<Manifest['reward']>) {
    this.ledger = ledger;
    this.kv = kv;
    const manifest = { ...META.manifest, reward: { ...META.manifest.reward, ...reward } };
    const held = { worker: '', address: owner, units: 1, credit: 1n };
    const shared = { span: { from: 0, to: 1, lowestAlone: false }, holdings: [held] };
    this.stage = new PayoutStage({
      chain: {
        ...{ networkId: NETWORK, meta: { ...META, manifest }, submissionsSealed: 2, height: () => HEAD },
        block: async () => toBlock(CHAIN.blocks[HEAD] as (typeof CHAIN.blocks)[number]),
      },
      windows: { now: async () => ({ places: NO_WORK, evaluation: shared, grinding: shared }) },
      ...{ ledger, lock: this.lock },
    });
  }

  static async open(reward: Partial<Manifest['reward']>): Promise<Stage> {
    const kv = new MemoryKv();
    return new Stage(await Ledger.open(kv, NETWORK), kv, reward);
  }

  async write(...moves: Move[]): Promise<void> {
    await this.lock.run(async () => {
      const prepared = await this.ledger.prepare(moves, 1);
      await this.kv.batch(prepared.ops);
      this.ledger.apply(prepared);
    });
  }

  plan(): ReturnType<PayoutStage['plan']> {
    const verdict = { attestations: bodyAt(HEAD).seal?.certificate?.attestations };
    return this.stage.plan({ id: ref, miner: MINER.publicKey, verdict } as unknown as SubmissionRecord);
  }
}

const amountsOf = (moves: readonly Move[], kind: Move['kind']) =>
  moves.filter((one) => one.kind === kind).map(({ amount }) => amount);

describe('PayoutStage', () => {
  it('adds what was forfeited since the last seal, and issues no more than the supply', async () => {
    const schedule = { gain_micro_nats: 1, least_bp: 10_000, most_bp: 10_000, supply_units: 5_000_000_100n };
    const pool = await Stage.open({ schedule });
    const fill = Array.from({ length: 8 }, () => move('reward-pool', null, owner, 1n));
    await pool.write(...fill, move('reward-pool', null, owner, 92n));
    const { rewards: before } = await pool.plan();
    assert.equal(sum(before), 5_000_000_000n, 'of a supply of 5,000,000,100 there are 100');
    await pool.write(move('forfeit', owner, null, 30n));
    assert.equal(sum((await pool.plan()).rewards), 5_000_000_030n);
    await pool.write(move('reward-pool', null, owner, 40n));
    assert.equal(sum((await pool.plan()).rewards), 4_999_999_960n + 30n);
  });

  it('plans by one moment of the ledger, whatever is sent to where parts gather meanwhile', async () => {
    const pool = await Stage.open({ min_payout_units: 0n });
    await pool.write(move('reward-pool', null, owner, 100n), move('transfer', owner, account, 10n));
    const send = () => pool.write(move('transfer', owner, account, 1n));
    const [, plan] = await Promise.all([send(), pool.plan(), send(), send()]);
    const sent = BigInt(plan.journal.seq - 2);
    assert.deepEqual(amountsOf(plan.rewards, 'payout'), [10n + sent]);
    assert.equal(await pool.ledger.balance(account), 13n);
  });

  it('lets parts below the minimum gather', async () => {
    const pool = await Stage.open({ min_payout_units: 10n ** 18n });
    const { rewards } = await pool.plan();
    const work = rewards.filter(({ kind }) => kind === 'reward-evaluator' || kind === 'reward-grinder');
    assert.deepEqual(
      work.map(({ to }) => to),
      [account, account],
    );
    assert.deepEqual(amountsOf(rewards, 'payout'), []);
  });

  it('may not pay where money has appeared', async () => {
    const pool = await Stage.open({});
    assert.ok(pool.stage.mayPay);
    pool.ledger.guard.blame(`the balance of ${SECOND_WORKER.address} is not what it was`);
    assert.equal(pool.stage.mayPay, false);
  });
});

const sum = (moves: readonly Move[]): bigint =>
  moves.reduce((total, { from, amount }) => (from === null ? total + amount : total), 0n);
