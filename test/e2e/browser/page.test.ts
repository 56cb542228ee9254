import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Locator, Page } from 'playwright-core';
import {
  frequencyBiases,
  headOf,
  LAST_BIAS,
  newKey,
  signedFile,
  submitGood,
} from '#test/helpers/candidate.ts';
import { type Pool, startPool } from '#test/helpers/pool.ts';
import { skipWithout } from '#test/helpers/tools.ts';
import type { Head } from '#worker/train/miner-head.ts';
import { drawnPixels, type OpenedPage, openBrowser, openPage } from './browser.ts';

/** Two cores that also train and evaluate: generous, because it is reached only by a fault. */
const PATIENCE_MS = 120_000;
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 360, height: 740, colorScheme: 'dark' } as const;

describe('the page of a running pool', {
  skip: skipWithout('chromium') || skipWithout('redis-server'),
}, () => {
  let pool: Pool;
  let browser: Browser;
  let desktop: OpenedPage;
  let page: Page;

  before(async () => {
    pool = await startPool();
    browser = await openBrowser();
    desktop = await openPage(browser, pool.url, DESKTOP);
    page = desktop.page;
    page.setDefaultTimeout(PATIENCE_MS);
  });

  after(async () => {
    await browser?.close();
  });

  test('says that it is live, that its keys are unsafe, and what genesis is', async () => {
    await page.getByText('Live', { exact: true }).waitFor();
    await page.getByText('Unsafe keys: development network.').waitFor();
    await page.getByTestId('blocks').getByText('genesis').waitFor();
    assert.match(await textOf(page.getByTestId('workers')), /wasm \([\d.]+ GFLOP\/s\), \d+ threads?/);
    await page.locator('[data-testid=loss-now]', { hasText: /\d\.\d{3}/ }).waitFor();
  });

  test('an accepted submission is followed live: state, blocks, curve, head', async () => {
    const headBefore = await textOf(page.getByRole('link', { name: /^block B / }));
    const id = await submitBias(pool.url, async (head) => (await frequencyBiases(head))[0]);
    const row = page.locator(`[data-testid=submissions] > li[data-id="${id}"]`);
    await row.and(page.locator('[data-state=paid]')).waitFor();
    assert.match(await textOf(row), /loss \d+\.\d{3} →.*▼.*pool tokens/s);
    await page.locator('[data-testid=loss-chart][aria-label*="2 points"]').waitFor();
    await page.getByText('below genesis').waitFor();
    assert.notEqual(await textOf(page.getByRole('link', { name: /^block B / })), headBefore);
    assert.ok((await drawnPixels(page, '[data-testid=loss-chart]')) > 1_000, 'the curve is drawn');
    assert.equal(await page.locator('[data-testid=blocks] > li').count(), 2);
    // Its work counts for the next reward.
    await page.getByTestId('shares').getByText('100.0 %').first().waitFor();
  });

  test('a group of blocks opens to its tensors', async () => {
    const [newest, genesis] = await page.locator('[data-testid=blocks] > li').all();
    await newest?.locator('summary').click();
    await newest?.getByText(LAST_BIAS).waitFor();
    const { height } = await pool.overview();
    await newest?.locator(`a[href="chain/B/block/${height.B}"]`).waitFor();
    await genesis?.locator('summary').click();
    await genesis?.getByText('transformer.wte.weight').waitFor();
    await genesis
      ?.getByRole('listitem')
      .nth(height.B - 1)
      .waitFor();
  });

  test('a rejected submission shows its code and what it means', async () => {
    const id = await submitBias(pool.url, async (head) => head.tensors.get(LAST_BIAS)?.map(noisy));
    const row = page.locator(`[data-testid=submissions] > li[data-id="${id}"]`);
    await row.and(page.locator('[data-state=rejected]')).waitFor();
    assert.match(await textOf(row), /GATE_NOT_BETTER \S+/);
  });

  test('the chat streams an answer and says which weights gave it', async () => {
    await page.getByLabel('Your text').fill('Call me Ishmael.');
    await page.getByLabel('Your text').press('Enter');
    const turn = page.locator('[data-testid=chat-log] article').last();
    await turn.and(page.locator(':not([data-state=streaming])')).waitFor();
    assert.notEqual((await textOf(turn.getByTestId('answer'))).trim(), '', await textOf(turn));
    assert.match(await textOf(turn), /\d+ tokens? in .*; weights of block B \d+/);
  });

  test('Stop ends an answer and keeps what came', async () => {
    await page.getByText(/tokens at most/).click();
    await page.getByLabel('Length, tokens').fill('1024');
    await page.getByLabel('Your text').fill('The sea');
    await page.getByRole('button', { name: 'Send' }).click();
    const turn = page.locator('[data-testid=chat-log] article').last();
    await turn.getByTestId('answer').filter({ hasText: /\S/ }).waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await turn.and(page.locator('[data-state=stopped]')).waitFor();
    await page.getByRole('button', { name: 'Send' }).waitFor();
  });

  test('a lost feed is shown, and comes back', async () => {
    const { page: second } = await openPage(browser, 'about:blank', DESKTOP);
    let cut: () => void = () => assert.fail('the page opened no feed');
    await second.routeWebSocket(/\/ws\/feed$/, (socket) => {
      socket.connectToServer();
      cut = () => void socket.close();
    });
    await second.goto(pool.url);
    await second.getByText('Live', { exact: true }).waitFor();
    cut();
    await second.getByText('Reconnecting', { exact: true }).waitFor();
    await second.getByText('Live', { exact: true }).waitFor();
    await second.close();
  });

  test('a phone in the dark sees it all without scrolling sideways', async () => {
    const phone = await openPage(browser, pool.url, PHONE);
    await phone.page.getByText('below genesis').waitFor();
    const [wide, background] = await phone.page.evaluate<[number, string]>(
      '[document.documentElement.scrollWidth - innerWidth, getComputedStyle(document.body).backgroundColor]',
    );
    assert.ok(wide <= 0, `${wide} px too wide`);
    assert.match(background, /^rgb\(1?\d, \d{1,2}, \d{1,2}\)$/);
    assert.ok((await drawnPixels(phone.page, '[data-testid=loss-chart]')) > 1_000, 'the curve is drawn');
    assert.deepEqual(phone.faults, []);
    await phone.page.close();
  });

  test('nothing went wrong in the console, and nothing was asked of another host', () => {
    assert.deepEqual(desktop.faults, []);
  });
});

/** Submits the head with another LAST_BIAS; the submission's id. */
async function submitBias(
  url: string,
  make: (head: Head) => Promise<Float32Array | undefined>,
): Promise<string> {
  const head = await headOf(url);
  const bias = await make(head);
  assert.ok(bias, `the head has no ${LAST_BIAS}`);
  const { bytes } = await signedFile(head, new Map([[LAST_BIAS, bias]]), newKey());
  return (await submitGood(url, bytes)).id;
}

async function textOf(locator: Locator): Promise<string> {
  return (await locator.textContent()) ?? '';
}

function noisy(value: number, i: number): number {
  return value + 0.3 * Math.sin(i * 12.9898);
}
