import { createServer, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest';
import { launchChromium } from '../browser/window.ts';
import { freePort } from '../processes.ts';
import { authorization } from './flows.ts';
import { clients, password, startIdentity, type TestIdentity } from './identity-server.ts';
import { atLocalhost } from './passkey-flows.ts';

/** In Chromium, which checks each redirect after a form against the page's policy (CSP3 §6.4.2.1). */
describe('a browser in which somebody is logged in', () => {
  let browser: Browser;
  let context: BrowserContext;
  let identity: TestIdentity;
  let server: Server;
  let app: string;
  /** What the app was sent last. */
  let received: { method: string | undefined; fields: URLSearchParams };

  beforeAll(async () => {
    browser = await launchChromium();
    const port = await freePort();
    app = `http://127.0.0.1:${port}`;
    server = createServer((request, response) => {
      void text(request).then((body) => {
        const query = new URL(request.url ?? '/', app).searchParams;
        if (request.url?.startsWith('/cb'))
          received = { method: request.method, fields: body === '' ? query : new URLSearchParams(body) };
        response.end('the app');
      });
    }).listen(port, '127.0.0.1');
    const ours = JSON.parse(
      JSON.stringify(clients).replaceAll(/http:\/\/127\.0\.0\.1:300\d/g, app),
    ) as unknown;
    identity = await startIdentity({ ...(await atLocalhost()), clients: ours });
    await identity.addUser('ada');
    await identity.addUser('bob');
  });
  afterAll(async () => {
    await browser.close();
    await identity.stop();
    server.close();
  });
  beforeEach(async () => {
    context = await browser.newContext();
    received = { method: undefined, fields: new URLSearchParams() };
  });
  afterEach(() => context.close());

  const begin = async (more: Record<string, string> = {}): Promise<string> =>
    (await authorization(identity, { redirect: `${app}/cb`, more })).url.href;

  async function logIn(page: Page, username: string): Promise<void> {
    await page.getByLabel('User name').fill(username);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Log in', exact: true }).click();
  }

  async function whoIsLoggedIn(page: Page): Promise<string> {
    await page.goto(`${identity.issuer}/account`);
    return await page.getByRole('main').innerText();
  }

  it.each<Record<string, string>>([{ prompt: 'login' }, { max_age: '0' }])(
    'lets another person log in at an app that asks for it by %o',
    async (more) => {
      const page = await context.newPage();
      await page.goto(await begin());
      await logIn(page, 'ada');
      await page.waitForURL(`${app}/cb?**`);
      await page.goto(await begin(more));
      await logIn(page, 'bob');
      await page.waitForURL(`${app}/cb?**`);
      expect(received.fields.get('code')).toEqual(expect.any(String));
      expect(await whoIsLoggedIn(page)).toContain('bob');
    },
  );

  it('lets another person finish a log-in that was begun in a second tab', async () => {
    const [one, other] = [await context.newPage(), await context.newPage()];
    await one.goto(await begin());
    await other.goto(await begin());
    await logIn(one, 'ada');
    await one.waitForURL(`${app}/cb?**`);
    await logIn(other, 'bob');
    await other.waitForURL(`${app}/cb?**`);
    expect(await whoIsLoggedIn(other)).toContain('bob');
  });

  it('tells the app about an error where it asked for a form', async () => {
    const page = await context.newPage();
    await page.goto(await begin({ response_mode: 'form_post' }), { waitUntil: 'commit' });
    await page.waitForURL(`${app}/cb`);
    expect(received.method).toBe('POST');
    expect(received.fields.get('error')).toBe('invalid_request');
  });

  it('shows no log-in again after it was cancelled at /account', async () => {
    const page = await context.newPage();
    await page.goto(`${identity.issuer}/account`);
    await page.getByRole('button', { name: 'Cancel' }).click();
    expect(await page.getByRole('heading').textContent()).toBe('You are not logged in');
    await page.getByRole('link', { name: 'Log in' }).click();
    await logIn(page, 'ada');
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('Your sessions');
  });
});
