import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { SignTypedDataVersion, signTypedData } from '@metamask/eth-sig-util';
import { Wallet } from 'ethers';
import type { Browser, Page } from 'playwright-core';
import { privateKeyToAccount } from 'viem/accounts';
import { newKeyPair } from '#coordinator/store/key-files.ts';
import { toHex } from '#shared/crypto/bytes.ts';
import { proposalFor, propose } from '#test/helpers/proposal.ts';
import { fileOf, post, SMALL_TENSOR } from '#test/helpers/small-genesis.ts';
import { TestCoordinator } from '#test/helpers/test-coordinator.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import { until } from '#test/helpers/until.ts';
import { openBrowser, openPage } from './browser.ts';

const PATIENCE_MS = 60_000;

/** What a wallet's extension puts into a page: a provider that announces itself, and signs outside of the page. */
const EXTENSION = `(() => {
  const listeners = {};
  const provider = {
    on: (event, listener) => { listeners[event] = listener; },
    removeListener: (event) => { delete listeners[event]; },
    request: async ({ method, params }) => {
      const answer = await walletRequest(method, JSON.stringify(params ?? []));
      if (answer.error) throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
      return answer.result;
    },
  };
  window.switchAccount = (accounts) => listeners.accountsChanged?.(accounts);
  const detail = Object.freeze({ info: { uuid: crypto.randomUUID(), name: 'Test Wallet', icon: '', rdns: 'test' }, provider });
  const announce = () => dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }));
  addEventListener('eip6963:requestProvider', announce);
  announce();
})()`;

interface TypedData {
  readonly domain: object;
  readonly types: Record<string, { name: string; type: string }[]>;
  readonly message: Record<string, unknown>;
}
type Sign = (typed: TypedData) => Promise<string>;

const SIGNERS: Record<string, (secret: `0x${string}`) => Sign> = {
  viem: (secret) => (typed) => privateKeyToAccount(secret).signTypedData(typed as never),
  ethers: (secret) => {
    const wallet = new Wallet(secret);
    return ({ domain, types: { EIP712Domain: _, ...types }, message }) =>
      wallet.signTypedData(domain, types, message);
  },
  // The code with which MetaMask signs `eth_signTypedData_v4`.
  MetaMask: (secret) => async (typed) =>
    signTypedData({
      privateKey: Buffer.from(secret.slice(2), 'hex'),
      data: typed as never,
      version: SignTypedDataVersion.V4,
    }),
};

describe('the account card', { skip: skipWithout('chromium') || skipWithout('redis-server') }, () => {
  let pool: TestCoordinator;
  let browser: Browser;
  const owner = newKeyPair();
  const friend = newKeyPair();

  before(async () => {
    pool = await TestCoordinator.start();
    const worker = await pool.attach();
    const file = fileOf(await pool.model(), { key: owner, tensors: { [SMALL_TENSOR]: 0.5 } });
    await post(pool.url, file, '/mine');
    await pool.reaches(file.id, 'paid');
    await worker.close();
    browser = await openBrowser();
  });
  after(async () => {
    await browser?.close();
    await pool?.destroy();
  });

  const open = async (sign: Sign, look = { width: 1280, height: 900 }) => {
    let declines = false;
    const { page, faults } = await openPage(browser, pool.url, look);
    page.setDefaultTimeout(PATIENCE_MS);
    await page.exposeFunction('walletRequest', async (method: string, params: string) => {
      if (method === 'eth_requestAccounts') return { result: [owner.address.toLowerCase()] };
      if (declines) return { error: { code: 4001, message: 'User rejected the request.' } };
      return { result: await sign(JSON.parse((JSON.parse(params) as [string, string])[1])) };
    });
    await page.addInitScript(EXTENSION);
    await page.reload();
    await page.getByRole('button', { name: 'Connect Test Wallet' }).click();
    await page.getByTestId('account-balance').waitFor();
    return { page, faults, decline: (now: boolean) => (declines = now) };
  };
  const pay = async (page: Page, to: string, amount: string) => {
    await page.getByLabel('Pay to').fill(to);
    await page.getByLabel('Tokens', { exact: true }).fill(amount);
    await page.getByRole('button', { name: 'Pay', exact: true }).click();
  };
  const balance = async (address: string) =>
    BigInt(((await pool.get(`/balance/${address}`)).body as { balance: string }).balance);

  for (const [name, signer] of Object.entries(SIGNERS))
    test(`a wallet that signs with ${name} is found, shows its account, and pays`, async () => {
      const { page, faults, decline } = await open(signer(`0x${toHex(owner.secretKey)}`));
      const before = await balance(friend.address);
      assert.equal(await page.getByTestId('account-address').textContent(), owner.address);
      await page.getByText('Reward for better weights').waitFor();
      await pay(page, friend.address, '1.25');
      await page
        .getByTestId('account-paid')
        .getByText(/Paid 1\.25 to 0x/)
        .waitFor();
      assert.equal(await balance(friend.address), before + 125_000_000n);
      await page.getByText('-1.25').first().waitFor();

      decline(true);
      await pay(page, friend.address, '1');
      await page.getByTestId('account-error').getByText('You declined in the wallet.').waitFor();
      decline(false);
      await pay(page, friend.address, '1000000');
      await page.getByTestId('account-error').getByText('has not got that much').waitFor();
      await pay(page, 'a friend', '1');
      await page.getByTestId('account-error').getByText('not an address').waitFor();
      assert.equal(await balance(friend.address), before + 125_000_000n);

      await page.evaluate(`switchAccount(['${friend.address}'])`);
      await page.getByTestId('account-address').getByText(friend.address).waitFor();
      await page.evaluate('switchAccount([])');
      await page.getByRole('button', { name: 'Connect Test Wallet' }).waitFor();
      // The browser itself notes the refused payment, and nothing else.
      assert.deepEqual(
        faults.filter((fault) => !/409/.test(fault)),
        [],
      );
      await page.close();
    });

  test('a wallet allows chats to cost something, and answers are paid from it', async () => {
    const priced = await proposalFor(pool.url, () => ({ fees: { chat_token_units: 1_000n } }));
    assert.equal((await propose(pool.url, priced)).status, 201);
    const worker = await pool.attach({
      roles: ['chat'],
      onChat: (self, { chat }) => {
        self.send({ type: 'chat-token', chat, text: 'Ishmael' });
        self.send({ type: 'chat-done', chat, tokens: 1, reason: 'stop' });
      },
    });
    const sign = SIGNERS.viem?.(`0x${toHex(owner.secretKey)}`) as Sign;
    const { page } = await open(sign);
    await page.getByTestId('chat-fee').getByText('costs 0.00001 pool tokens').waitFor();
    await page.getByLabel('Your text').fill('Call me');
    await page.getByLabel('Your text').press('Enter');
    await page.getByTestId('chat-log').getByText('PAYMENT').waitFor();
    await page.getByRole('button', { name: 'Allow', exact: true }).click();
    await page.getByTestId('chat-fee').getByText('Up to 0.1 pool tokens are allowed').waitFor();
    await page.getByLabel('Your text').fill('Call me');
    await page.getByLabel('Your text').press('Enter');
    await page.getByTestId('answer').getByText('Ishmael').waitFor();
    const { address } = await worker.next('welcome');
    await until('the worker is paid', async () => (await balance(address)) === 600n);
    await page.close();
    await worker.close();
  });

  test('without a wallet any account can be looked at, also on a phone', async () => {
    const { page, faults } = await openPage(browser, pool.url, { width: 360, height: 740 });
    await page.getByText('No wallet is installed').waitFor();
    await page.getByLabel('Address of an account').fill(owner.address);
    await page.getByRole('button', { name: 'Show', exact: true }).click();
    await page.getByTestId('account-balance').waitFor();
    assert.equal(await page.getByLabel('Pay to').count(), 0);
    const wide = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
    assert.ok(wide <= 0, `${wide} px too wide`);
    assert.deepEqual(faults, []);
    await page.close();
  });
});
