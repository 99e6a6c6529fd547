import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { inject } from 'vitest';
import { repository } from '../processes.ts';

/*
 * Pages in a real Chromium: what a person sees, what axe finds, and pictures. Pictures go into
 * `docs/screenshots` with CURFEW_TEST_SCREENSHOTS=docs; else beside the other output of the tests.
 */

const screenshots =
  process.env['CURFEW_TEST_SCREENSHOTS'] === 'docs'
    ? join(repository, 'docs', 'screenshots')
    : join(repository, '.cache', 'screenshots');
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Tests run as root, in containers with little shared memory. */
export const launchChromium = (): Promise<Browser> =>
  chromium.launch({
    executablePath: inject('chromium'),
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });

export type Look = {
  colorScheme?: 'light' | 'dark';
  locale?: string;
  width?: number;
  /** Default: pages have to do without. */
  javaScript?: boolean;
};

const schemes = new WeakMap<Page, 'light' | 'dark'>();

export async function openWindow(
  browser: Browser,
  { colorScheme = 'light', locale = 'en', width = 560, javaScript = false }: Look = {},
): Promise<Page> {
  const options: BrowserContextOptions = {
    javaScriptEnabled: javaScript,
    colorScheme,
    locale,
    viewport: { width, height: 640 },
  };
  const page = await (await browser.newContext(options)).newPage();
  schemes.set(page, colorScheme);
  return page;
}

/** The page as it is, read by axe in a context that may run a script. */
export async function violations(page: Page): Promise<string[]> {
  const browser = page.context().browser();
  if (browser === null) throw new Error('a window of no browser');
  const context = await browser.newContext({
    bypassCSP: true,
    viewport: page.viewportSize(),
    colorScheme: schemes.get(page) ?? 'light',
  });
  try {
    const copy = await context.newPage();
    await copy.setContent(await page.content());
    await copy.evaluate(axe);
    const found = await copy.evaluate('axe.run(document)');
    const { violations: all } = found as { violations: { id: string; nodes: { html: string }[] }[] };
    return all.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  } finally {
    await context.close();
  }
}

export async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(screenshots, { recursive: true });
  await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
}
