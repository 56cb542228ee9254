import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { type AccountView, accountSchema } from '#shared/api/account-schemas.ts';
import { type PayoutView, payoutSchema, poolSharesSchema } from '#shared/api/reward-schemas.ts';
import type { SubmissionView } from '#shared/api/schemas.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { UNIT } from '#shared/money.ts';
import { accruedAccount } from '#shared/reward/keyless-account.ts';
import { aiblock } from '#test/helpers/child.ts';
import { fileOf, post, SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';

/** Twice the units by gain, as the fake workers find it; halved after two; no more than 230 tokens in all. */
const REWARD = {
  units: 50n * UNIT,
  split_bp: { submitter: 6_000, evaluators: 2_000, grinders: 1_500, pool: 500 },
  vesting_bp: 0,
  schedule: {
    ...{ gain_micro_nats: 40_000, least_bp: 2_500, most_bp: 20_000 },
    ...{ halving_seals: 2, supply_units: 230n * UNIT },
  },
};
const DUE = [100n, 100n, 30n, 0n].map((tokens) => tokens * UNIT);

describe('rewards', { skip: skipWithout('redis-server') }, () => {
  for (const [scheme, minimum] of [
    ['pplns', undefined],
    ['prop', 25n * UNIT],
    ['solo', 0n],
  ] as const)
    describe(`by ${scheme}, minimum payout ${minimum ?? 'none'}`, () => {
      const owner = newKeyPair();
      const paid: SubmissionView[] = [];
      let pool: TestCoordinator;

      before(async () => {
        const reward = {
          ...{ ...REWARD, scheme, window_units: 3 },
          ...(minimum !== undefined && { min_payout_units: minimum }),
        };
        pool = await TestCoordinator.start({}, undefined, { reward });
        await pool.attach({ name: 'owned', owner });
        for (const [i] of DUE.entries()) {
          const tensors = { [SMALL_TENSOR]: i + 0.5, 'transformer.ln_f.weight': i + 0.25 };
          const file = fileOf(await pool.model(), { key: newKeyPair(), tensors });
          assert.equal((await post(pool.url, file)).status, 202);
          const view = await pool.reaches(file.id, 'paid', 'rejected');
          assert.equal(view.state, 'paid', JSON.stringify(view.error));
          paid.push(view);
        }
      });
      after(() => pool.destroy());

      const payout = async (at: number, query = ''): Promise<PayoutView> => {
        const { status, body } = await pool.get(`/pool/payouts/${paid[at]?.id}${query}`);
        assert.equal(status, 200);
        return payoutSchema.parse(body);
      };
      const account = async (address: string): Promise<AccountView> =>
        accountSchema.parse((await pool.get(`/accounts/${address}`)).body);

      it('says of every payout why it is as large, to the last unit', async () => {
        for (const [at, due] of DUE.entries()) {
          const { terms, split, windows, entries } = await payout(at);
          assert.equal(BigInt(terms.reward), due);
          assert.deepEqual([terms.sealed_before, terms.halvings, terms.gain_bp], [at, at >> 1, '20000']);
          assert.equal(BigInt(terms.by_gain), at < 2 ? 100n * UNIT : 50n * UNIT);
          const minted = entries.filter(({ from }) => from === null);
          for (const { kind, amount } of split)
            assert.equal(sum(minted.filter((entry) => entry.kind === kind)), BigInt(amount), kind);
          for (const { accounts, credit, amount } of windows)
            for (const { before: cumulated, ...part } of accounts) {
              const [from, to] = [BigInt(cumulated), BigInt(cumulated) + BigInt(part.credit)];
              const [all, over] = [BigInt(amount), BigInt(credit)];
              assert.equal(BigInt(part.amount), (to * all) / over - (from * all) / over);
              const known = [owner.address, accruedAccount(await network(), owner.address)];
              assert.deepEqual([part.address, known.includes(part.paid_to)], [owner.address, true]);
            }
        }
        assert.deepEqual((await payout(1, `?address=${paid[0]?.miner}`)).windows[0]?.accounts, []);
      });

      it('pays parts below the minimum when they reached it', async () => {
        const { balance, accrued } = await account(owner.address);
        // Nobody had worked before the first reward; the second has 35 of 100 tokens for work, the third 10.5 of 30.
        const earned = (35n + 10n) * UNIT + UNIT / 2n;
        assert.equal(BigInt(balance) + BigInt(accrued), earned);
        assert.equal(BigInt(accrued), minimum === 25n * UNIT ? 10n * UNIT + UNIT / 2n : 0n);
      });

      it('shows who would share the next reward, and by which worker', async () => {
        const { body } = await pool.get('/pool/shares');
        const { reward, windows } = poolSharesSchema.parse(body);
        assert.equal(reward, '0', 'all that will ever be is issued');
        const [evaluation, grinding] = windows;
        assert.deepEqual([evaluation?.kind, grinding?.kind], ['evaluation', 'grinding']);
        const units = { pplns: [3, 3], prop: [1, 2], solo: [1, 1] }[scheme];
        assert.deepEqual([evaluation?.units, grinding?.units], units);
        for (const { accounts, workers } of windows) {
          assert.deepEqual(
            accounts.map(({ address }) => address),
            [owner.address],
          );
          assert.deepEqual(
            workers.map(({ worker, address }) => [worker, address]),
            [[toHex(pool.workers[0]?.options.key.publicKey as Uint8Array), owner.address]],
          );
        }
        const none = poolSharesSchema.parse((await pool.get(`/pool/shares?address=${paid[0]?.miner}`)).body);
        assert.deepEqual(none.windows[0]?.accounts, []);
      });

      it('is computed anew without a difference, on the running pool and on its folder', async () => {
        const live = await aiblock(['ledger', 'audit', '--coordinator', pool.url]);
        assert.equal(live.code, 0, live.stdout + live.stderr);
        assert.match(live.stdout, /^Differences: none\.$/m);
        if (scheme !== 'pplns') return;
        for (const worker of pool.workers) await worker.close();
        await pool.stop();
        const args = ['ledger', 'audit', '--data-dir', pool.dataDir, '--json'];
        const stored = await aiblock(args, { AIBLOCK_COORDINATOR: 'http://127.0.0.1:9' });
        assert.equal(stored.code, 0, stored.stdout + stored.stderr);
        const { ok, rewards, minted_units } = JSON.parse(stored.stdout);
        assert.deepEqual([ok, rewards, minted_units], [true, 4, (230n * UNIT).toString()]);
        await pool.start();
      });

      it('NOT_FOUND, BAD_REQUEST, ADDRESS: what is not sealed, and what is no question', async () => {
        const codes = async (path: string) =>
          ((await pool.get(path)).body as { error: { code: string } }).error.code;
        assert.equal(await codes(`/pool/payouts/${'0'.repeat(64)}`), 'NOT_FOUND');
        assert.equal(await codes('/pool/payouts/x'), 'BAD_REQUEST');
        for (const query of ['limit=0', 'limit=10001', 'limit=1e1', 'units=3', 'address=a&address=b'])
          assert.equal(await codes(`/pool/shares?${query}`), 'BAD_REQUEST', query);
        assert.equal(await codes('/pool/shares?address=0x12'), 'ADDRESS');
      });

      const network = async () => Buffer.from((await pool.model()).network, 'hex');
    });
});

const sum = (entries: readonly { amount: string }[]): bigint =>
  entries.reduce((total, { amount }) => total + BigInt(amount), 0n);
