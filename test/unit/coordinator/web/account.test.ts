import assert from 'node:assert/strict';
import { test } from 'node:test';
import { privateKeyToAccount } from 'viem/accounts';
import { type BrowserWallet, Refusal } from '#coordinator/web/app/net/ports.ts';
import { AccountClient, type AccountState } from '#coordinator/web/app/state/account-client.ts';
import { entryLine } from '#coordinator/web/app/text/entry-words.ts';
import { refusalWords } from '#coordinator/web/app/text/refusal-words.ts';
import type { EntryView } from '#shared/api/account-schemas.ts';
import { fromHex } from '#shared/crypto/bytes.ts';
import { recoverAddress } from '#shared/crypto/recover.ts';
import { type AllowanceRequest, allowanceDigest, parseAllowance } from '#shared/protocol/allowance.ts';
import { parseTransfer, type TransferRequest, transferDigest } from '#shared/protocol/transfer.ts';
import { until } from '#test/helpers/until.ts';

const NETWORK = '03'.repeat(32);
const ALICE = privateKeyToAccount(`0x${'11'.repeat(32)}`);
const BOB = privateKeyToAccount(`0x${'22'.repeat(32)}`);
const ENTRY: EntryView = {
  ...{ seq: 7, at: 5, kind: 'transfer', ref: '00'.repeat(32) },
  ...{ from: ALICE.address, to: BOB.address, amount: '150000000' },
};

function stage(sign = (typed: unknown) => ALICE.signTypedData(typed as never) as Promise<unknown>) {
  const listeners = new Map<string, (value: unknown) => void>();
  const asked: string[] = [];
  const posted: TransferRequest[] = [];
  const wallet: BrowserWallet = {
    id: 'w',
    name: 'Test wallet',
    provider: {
      request: async ({ method, params }) => {
        asked.push(method);
        if (method === 'eth_requestAccounts') return [ALICE.address.toLowerCase()];
        return sign(JSON.parse((params as [string, string])[1]));
      },
      on: (event, listener) => void listeners.set(event, listener),
      removeListener: (event) => void listeners.delete(event),
    },
  };
  const answers: { post: (path: string, body: unknown) => Promise<unknown> } = {
    post: async (_path, body) => {
      posted.push(body as TransferRequest);
      return { digest: '00'.repeat(32), entry: ENTRY };
    },
  };
  const client = new AccountClient({
    get: async (path) => {
      if (path === 'model') return { network: NETWORK };
      if (path === 'meta') return { fields: { fees: { chat_token_units: '18446744073709551615n' } } };
      const [, address] = path.split(/[/?]/);
      if (path.includes('/entries')) return { address, entries: [ENTRY], next: null };
      return { address, balance: '500000000', vesting: '0', accrued: '0', nonce: '4' };
    },
    post: (path, body) => answers.post(path, body),
    watchWallets: (found) => {
      found(wallet);
      return () => undefined;
    },
    now: () => 1_800_000_000_000,
  });
  let state: AccountState | undefined;
  client.subscribe((now) => {
    state = now;
  });
  client.start();
  return { client, wallet, asked, posted, answers, listeners, state: () => state as AccountState };
}

test('connects a wallet, shows its account, and pays what the wallet signs', async () => {
  const { client, wallet, posted, state } = stage();
  assert.deepEqual(state().wallets, [wallet]);
  await client.connect(wallet);
  assert.equal(state().account?.address, ALICE.address);
  assert.equal(state().wallet, wallet);
  assert.ok(await client.pay({ to: ` ${BOB.address.toLowerCase()} `, amount: '1.5' }));
  const [request] = posted;
  assert.ok(request);
  const { transfer, signature } = parseTransfer(request);
  assert.deepEqual(transfer, {
    from: ALICE.address,
    to: BOB.address,
    amount: 150_000_000n,
    nonce: 4n,
    expiry: 1_800_000_600n,
  });
  const digest = transferDigest(fromHex(NETWORK, 32), transfer);
  assert.equal(recoverAddress(signature, digest), ALICE.address);
  assert.equal(state().paid?.entry.seq, 7);
  assert.equal(state().busy, null);
});

test('a signature that ends with 0 or 1 is written as Ethereum writes it', async () => {
  const { client, wallet, posted } = stage(async (typed) =>
    (await ALICE.signTypedData(typed as never)).replace(/1b$/, '00').replace(/1c$/, '01'),
  );
  await client.connect(wallet);
  assert.ok(await client.pay({ to: BOB.address, amount: '1' }));
  assert.match(posted[0]?.signature ?? '', /1[bc]$/);
});

test('what is refused is told in words, and pays nothing', async () => {
  const declined = stage(() => Promise.reject(Object.assign(new Error('User rejected'), { code: 4001 })));
  await declined.client.connect(declined.wallet);
  assert.equal(await declined.client.pay({ to: BOB.address, amount: '1' }), false);
  assert.match(declined.state().error ?? '', /You declined/);
  const { client, wallet, answers, asked, posted, state } = stage();
  await client.connect(wallet);
  for (const [payment, words] of [
    [{ to: '0x12', amount: '1' }, /not an address/],
    [{ to: BOB.address, amount: '1e3' }, /amount/],
    [{ to: BOB.address, amount: '' }, /amount/],
  ] as const) {
    assert.equal(await client.pay(payment), false);
    assert.match(state().error ?? '', words);
  }
  assert.deepEqual(asked, ['eth_requestAccounts'], 'the wallet is not asked for what is wrong already');
  answers.post = () => Promise.reject(new Refusal('FUNDS', 'it has 3'));
  assert.equal(await client.pay({ to: BOB.address, amount: '1' }), false);
  assert.match(state().error ?? '', /has not got that much/);
  assert.equal(state().account?.address, ALICE.address);
  assert.deepEqual(posted, []);
});

test('follows the account that its owner chooses, and leaves with it', async () => {
  const { client, wallet, listeners, state } = stage();
  await client.connect(wallet);
  const changed = listeners.get('accountsChanged') as (value: unknown) => void;
  changed([BOB.address]);
  await until('the other account is shown', () => state().account?.address === BOB.address);
  (listeners.get('accountsChanged') as typeof changed)([]);
  assert.equal(state().account, null);
  assert.equal(state().wallets.length, 1);
});

test('any account can be looked at; it pays only with its wallet', async () => {
  const { client, state } = stage();
  await client.look(BOB.address);
  assert.equal(state().account?.address, BOB.address);
  assert.equal(state().wallet, null);
  assert.equal(await client.pay({ to: ALICE.address, amount: '1' }), false);
  await client.look('nonsense');
  assert.match(state().error ?? '', /not an address/);
});

test('a wallet allows chats to cost something, and forgets it when it leaves', async () => {
  const { client, wallet, state } = stage();
  await client.readPrice();
  assert.equal(state().tokenUnits, 2n ** 64n - 1n);
  assert.equal(await client.allowChats('1'), false, 'without a wallet');
  await client.connect(wallet);
  assert.ok(await client.allowChats('0.5'));
  const { allowance, signature } = parseAllowance(state().allowance as AllowanceRequest);
  assert.deepEqual([allowance.account, allowance.limit], [ALICE.address, 50_000_000n]);
  assert.equal(recoverAddress(signature, allowanceDigest(fromHex(NETWORK, 32), allowance)), ALICE.address);
  client.disconnect();
  assert.equal(state().allowance, null);
  assert.equal(state().tokenUnits, 2n ** 64n - 1n);
});

test('entries in words, from the side of the account', () => {
  assert.deepEqual(entryLine(ENTRY, BOB.address).units, '150000000');
  assert.match(entryLine(ENTRY, BOB.address).words, /^From 0x/);
  assert.deepEqual(entryLine(ENTRY, ALICE.address).units, '-150000000');
  const given = { ...ENTRY, kind: 'adjustment', reason: 'lost shares' };
  assert.equal(entryLine(given, BOB.address).words, 'Given by the operator: lost shares');
  assert.equal(entryLine({ ...ENTRY, kind: 'new-kind' }, BOB.address).words, 'new-kind');
});

test('refusals of wallets and of the line in words', () => {
  assert.match(refusalWords({ code: -32002 }), /look at its window/);
  assert.match(refusalWords(new TypeError('fetch failed')), /does not answer/);
  assert.match(refusalWords(new Refusal('STATE', 'why')), /The pool refused: why/);
  assert.match(refusalWords(undefined), /without a reason/);
});
