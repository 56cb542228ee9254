import assert from 'node:assert/strict';
import { type Browser, chromium, type Page } from 'playwright-core';
import { toolPath } from '#test/helpers/tools.ts';

/** A browser of the system, headless, that talks to nobody but the page. */
export function openBrowser(): Promise<Browser> {
  const executablePath = toolPath('chromium');
  assert.ok(executablePath, 'chromium is missing');
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

export interface OpenedPage {
  readonly page: Page;
  /** What a user's console would show: errors, refusals of the content security policy, requests to other hosts. */
  readonly faults: string[];
}

export interface PageLook {
  readonly width: number;
  readonly height: number;
  readonly colorScheme?: 'light' | 'dark';
}

/** A new page at `url`, on the look-out for faults from before its first script. */
export async function openPage(browser: Browser, url: string, look: PageLook): Promise<OpenedPage> {
  const { width, height, colorScheme = 'light' } = look;
  const page = await browser.newPage({ viewport: { width, height }, colorScheme });
  const faults: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`script: ${error.message}`));
  page.on('request', (request) => {
    if (new URL(request.url()).host !== new URL(url).host) faults.push(`other host: ${request.url()}`);
  });
  await page.exposeFunction('reportViolation', (what: string) => faults.push(`content policy: ${what}`));
  await page.addInitScript(`document.addEventListener('securitypolicyviolation', (event) =>
    reportViolation(event.violatedDirective + ' ' + event.blockedURI))`);
  await page.goto(url);
  return { page, faults };
}

/** Pixels of the first canvas below `selector` that carry any colour. */
export function drawnPixels(page: Page, selector: string): Promise<number> {
  return page.evaluate<number>(`(() => {
    const canvas = document.querySelector(${JSON.stringify(`${selector} canvas`)});
    if (!canvas || canvas.width === 0) return 0;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let drawn = 0;
    for (let i = 3; i < data.length; i += 4) if (data[i] > 0) drawn++;
    return drawn;
  })()`);
}
