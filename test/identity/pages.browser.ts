import { createServer, type Server } from 'node:http';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as client from 'openid-client';
import { launchChromium, openWindow, picture, violations, type Look } from '../browser/window.ts';
import { freePort } from '../processes.ts';
import { authorization, login } from './flows.ts';
import { clients, password, startIdentity, type TestIdentity } from './identity-server.ts';
import { atLocalhost } from './passkey-flows.ts';

/*
 * The pages in a real Chromium: usable without JavaScript, without violations that axe finds, in light and
 * dark, and pictured in `docs/screenshots`.
 */

describe('the pages, in Chromium', () => {
  let browser: Browser;
  let identity: TestIdentity;
  let server: Server;
  /** Where a log-in leads. */
  let app: string;

  beforeAll(async () => {
    browser = await launchChromium();
    const port = await freePort();
    app = `http://127.0.0.1:${port}`;
    server = createServer((_, response) => response.end('the app')).listen(port, '127.0.0.1');
    const ours = JSON.parse(
      JSON.stringify(clients)
        .replaceAll(' <&>', '')
        .replaceAll(' <b>', '')
        .replaceAll(/http:\/\/127\.0\.0\.1:300\d/g, app),
    ) as unknown;
    identity = await startIdentity({ ...(await atLocalhost()), clients: ours });
    await identity.addUser('ada');
  });
  afterAll(async () => {
    await browser.close();
    await identity.stop();
    server.close();
  });

  const begin = async (clientId = 'web'): Promise<string> =>
    (await authorization(identity, { clientId, redirect: `${app}/cb` })).url.href;

  const open = (look?: Look): Promise<Page> => openWindow(browser, look);

  async function fillIn(page: Page, username = 'ada', secret = password): Promise<void> {
    await page.getByLabel('User name').fill(username);
    await page.getByLabel('Password').fill(secret);
    await page.getByRole('button', { name: 'Log in' }).click();
  }

  it('log a person in, with the keyboard alone', async () => {
    const page = await open();
    await page.goto(await begin());
    expect(await violations(page)).toEqual([]);
    expect(await page.getByRole('button').allTextContents()).toEqual(['Log in', 'Cancel']);
    expect(await page.locator(':focus').getAttribute('id')).toBe('username');
    await page.keyboard.type('ada');
    await page.keyboard.press('Tab');
    await page.keyboard.type(password);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${app}/cb?**`);
    expect(new URL(page.url()).searchParams.get('code')).toEqual(expect.any(String));
  });

  it('say what is wrong, and keep the name', async () => {
    const page = await open();
    await page.goto(await begin());
    await fillIn(page, 'ada', 'wrong password');
    expect(await page.getByRole('alert').textContent()).toContain('wrong');
    expect(await page.getByLabel('User name').inputValue()).toBe('ada');
    expect(await page.locator(':focus').getAttribute('id')).toBe('password');
    await picture(page, 'log-in-refused');
    expect(await violations(page)).toEqual([]);
  });

  it.each(['light', 'dark'] as const)('are readable in %s, and on a telephone', async (colorScheme) => {
    const page = await open({ colorScheme, width: 360, javaScript: true });
    await page.goto(await begin());
    expect(await violations(page)).toEqual([]);
    const { scrollWidth } = await page
      .locator('html')
      .evaluate((html) => ({ scrollWidth: html.scrollWidth }));
    expect(scrollWidth).toBeLessThanOrEqual(360);
    await picture(page, `log-in-${colorScheme}-telephone`);
  });

  it('speak German to a German browser', async () => {
    const page = await open({ locale: 'de-DE', javaScript: true });
    await page.goto(await begin());
    expect(await page.getByRole('heading').textContent()).toBe('Anmelden');
    expect(await violations(page)).toEqual([]);
    await picture(page, 'log-in-german');
  });

  it('ask for consent where a client is not the operator’s', async () => {
    const page = await open();
    await page.goto(await begin('partner'));
    await fillIn(page);
    expect(await page.getByRole('listitem').allTextContents()).toContain('use read at orders');
    await picture(page, 'consent');
    expect(await violations(page)).toEqual([]);
    await page.getByRole('button', { name: 'Allow' }).click();
    await page.waitForURL(`${app}/cb?**`);
  });

  it('log a device in', async () => {
    const page = await open();
    const device = await identity.relyingParty('device');
    const codes = await client.initiateDeviceAuthorization(device, { scope: 'read' });
    await page.goto(codes.verification_uri);
    await picture(page, 'device-code');
    expect(await violations(page)).toEqual([]);
    await page.getByLabel('Code').fill(codes.user_code.toLowerCase());
    await page.getByRole('button', { name: 'Continue' }).click();
    await picture(page, 'device-confirm');
    expect(await violations(page)).toEqual([]);
    await page.getByRole('button', { name: 'It is my device' }).click();
    await fillIn(page);
    await page.getByRole('button', { name: 'Continue' }).click();
    expect(await page.getByRole('heading').textContent()).toBe('The device is logged in');
    expect(await violations(page)).toEqual([]);
    const tokens = await client.pollDeviceAuthorizationGrant(device, { ...codes, interval: 0.1 });
    expect(tokens.access_token).toEqual(expect.any(String));
  });

  it('show one’s sessions, and end them one by one and all at once', async () => {
    await identity.addUser('grace');
    await login(identity, 'grace');
    const page = await open({ width: 720 });
    await page.goto(`${identity.issuer}/account`);
    await fillIn(page, 'grace');
    await page.goto(await begin());
    await page.goto(`${identity.issuer}/account`);
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('Your sessions');
    expect(await page.locator('ul.cards > li').count()).toBe(2);
    expect(await violations(page)).toEqual([]);
    expect(await page.getByRole('button', { name: 'Add a passkey' }).count()).toBe(0);
    expect(await page.getByText('can’t add passkeys').isVisible()).toBe(true);
    await page.locator('ul.cards > li').nth(1).getByRole('button').click();
    expect(await page.locator('ul.cards > li').count()).toBe(1);
    await page.getByRole('button', { name: 'Log out everywhere' }).click();
    expect(await page.getByRole('heading').textContent()).toBe('You are logged out');
    await picture(page, 'logged-out');
    expect(await violations(page)).toEqual([]);
    await page.goto(`${identity.issuer}/account`);
    expect(await page.getByLabel('Password').count()).toBe(1);
  });

  it('log a person out', async () => {
    const page = await open();
    await page.goto(await begin());
    await fillIn(page);
    await page.goto(`${identity.issuer}/session/end`);
    await picture(page, 'log-out');
    expect(await violations(page)).toEqual([]);
    await page.getByRole('button', { name: 'Log out' }).click();
    expect(await page.getByRole('heading').textContent()).toBe('You are logged out');
  });

  it('help when something is wrong', async () => {
    const page = await open();
    await page.goto(`${identity.issuer}/auth?client_id=nobody`);
    expect(await page.locator('code').textContent()).toContain('invalid_client');
    await picture(page, 'error');
    expect(await violations(page)).toEqual([]);
  });

  it('run no script of anybody’s', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(await begin());
    const attempt = page.evaluate(`
      const script = document.createElement('script');
      script.textContent = 'document.title = "taken over"';
      document.head.append(script);
      document.title;`);
    expect(await attempt).toBe('Log in');
    await context.close();
  });
});
