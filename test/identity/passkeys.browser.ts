import { createServer, type Server } from 'node:http';
import type { Browser, CDPSession, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listPasskeys } from '../../src/identity/operator/account-commands.ts';
import { launchChromium, openWindow, picture, violations, type Look } from '../browser/window.ts';
import { freePort } from '../processes.ts';
import { authorization, login } from './flows.ts';
import { clients, password, startIdentity, type TestIdentity } from './identity-server.ts';
import { atLocalhost } from './passkey-flows.ts';

/*
 * Passkeys in a real Chromium with its own authenticator, by the DevTools protocol: what the pages' script
 * does, and what the browser makes of our policy and our options.
 */

describe('passkeys, in Chromium', () => {
  let browser: Browser;
  let identity: TestIdentity;
  let server: Server;
  let app: string;

  beforeAll(async () => {
    browser = await launchChromium();
    app = `http://127.0.0.1:${await freePort()}`;
    server = createServer((_, response) => response.end('the app')).listen(
      Number(new URL(app).port),
      '127.0.0.1',
    );
    const ours = JSON.parse(
      JSON.stringify(clients).replaceAll(' <&>', '').replaceAll('http://127.0.0.1:3000', app),
    ) as unknown;
    identity = await startIdentity({ ...(await atLocalhost()), clients: ours });
  });
  afterAll(async () => {
    await browser.close();
    await identity.stop();
    server.close();
  });

  type Authenticated = { page: Page; devtools: CDPSession; authenticatorId: string };

  /** A window on a device that knows its owner by a finger. */
  async function open(look: Look = {}): Promise<Authenticated> {
    const page = await openWindow(browser, { javaScript: true, width: 720, ...look });
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('WebAuthn.enable');
    const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    return { page, devtools, authenticatorId };
  }

  const credentialsOf = async ({ devtools, authenticatorId }: Authenticated) =>
    (await devtools.send('WebAuthn.getCredentials', { authenticatorId })).credentials;

  async function logIn(page: Page, username: string): Promise<void> {
    await page.goto(`${identity.issuer}/account`);
    await page.getByLabel('User name').fill(username);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Log in', exact: true }).click();
    await page.getByRole('heading', { name: 'Your passkeys' }).waitFor();
  }

  async function add(page: Page, name: string): Promise<void> {
    await page.getByRole('textbox', { name: 'Name' }).last().fill(name);
    await page.getByRole('button', { name: 'Add a passkey' }).click();
    await page.getByRole('heading', { name }).waitFor();
  }

  const begin = async (): Promise<string> =>
    (await authorization(identity, { redirect: `${app}/cb` })).url.href;

  /** What the page could not do, by the browser's own account. */
  function problemsOf(page: Page): string[] {
    const problems: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    page.on('pageerror', (thrown) => problems.push(thrown.message));
    return problems;
  }

  it('are added, log a person in after a log-out, and are removed', async () => {
    await identity.addUser('ada');
    const device = await open();
    const { page } = device;
    const problems = problemsOf(page);
    await login(identity, 'ada');
    await logIn(page, 'ada');
    expect(await page.getByText('You have no passkey yet.').isVisible()).toBe(true);
    expect(await page.getByText('can’t add passkeys').isVisible()).toBe(false);
    expect(await violations(page)).toEqual([]);
    await add(page, 'Laptop');
    expect(await violations(page)).toEqual([]);
    await page.goto(await begin());
    await page.goto(`${identity.issuer}/account`);
    await picture(page, 'your-sessions');
    const [credential] = await credentialsOf(device);
    expect(credential).toMatchObject({ isResidentCredential: true, rpId: 'localhost', userName: 'ada' });

    await page.goto(`${identity.issuer}/session/end`);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.goto(await begin());
    expect(await page.locator(':focus').getAttribute('id')).toBe('username');
    await picture(page, 'log-in');
    expect(await violations(page)).toEqual([]);
    await page.getByRole('button', { name: 'Log in with a passkey' }).click();
    await page.waitForURL(`${app}/cb?**`);
    expect(new URL(page.url()).searchParams.get('code')).toEqual(expect.any(String));

    await page.goto(`${identity.issuer}/account`);
    await page.getByRole('button', { name: 'Remove Laptop' }).click();
    await page.getByText('You have no passkey yet.').waitFor();
    expect(await listPasskeys(identity.config, 'ada')).toEqual([]);
    expect(problems).toEqual([]);

    await page.goto(`${identity.issuer}/session/end`);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.goto(await begin());
    await page.getByRole('button', { name: 'Log in with a passkey' }).click();
    await page.getByRole('alert').getByText('not accepted').waitFor();
    expect(await violations(page)).toEqual([]);
  });

  it('are listed in the dark, and renamed with the keyboard alone', async () => {
    await identity.addUser('grace');
    const { page } = await open({ colorScheme: 'dark' });
    await logIn(page, 'grace');
    await add(page, 'Telephone');
    await page.getByText('Rename', { exact: true }).focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('Old telephone');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Old telephone' }).waitFor();
    await page.getByText('Rename', { exact: true }).click();
    expect(await violations(page)).toEqual([]);
    await page.goto(`${identity.issuer}/account`);
    await picture(page, 'your-sessions-dark');
  });

  it('are added once on a device', async () => {
    await identity.addUser('emmy');
    const device = await open();
    await logIn(device.page, 'emmy');
    await add(device.page, 'Laptop');
    await device.page.getByRole('button', { name: 'Add a passkey' }).click();
    await device.page.getByRole('alert').getByText('did not work').waitFor();
    expect(await violations(device.page)).toEqual([]);
    expect(await credentialsOf(device)).toHaveLength(1);
    expect(await listPasskeys(identity.config, 'emmy')).toHaveLength(1);
  });

  it('show why one was not added, where the person looks', async () => {
    await identity.addUser('maria');
    const { page } = await open();
    await logIn(page, 'maria');
    await page.route('**/account/passkeys', (route) => {
      const body = new URLSearchParams(route.request().postData() ?? '');
      body.set('credential', '{}');
      return route.continue({ postData: body.toString() });
    });
    await page.getByRole('button', { name: 'Add a passkey' }).click();
    await page.getByRole('alert').getByText('not accepted').waitFor();
    expect(await page.locator(':focus').textContent()).toContain('not accepted');
    expect(await violations(page)).toEqual([]);
  });

  it('log nobody in who isn’t the owner of the device', async () => {
    await identity.addUser('lise');
    const { page, devtools, authenticatorId } = await open();
    await logIn(page, 'lise');
    await add(page, 'Laptop');
    await page.goto(`${identity.issuer}/session/end`);
    await page.getByRole('button', { name: 'Log out' }).click();
    await devtools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
    await page.goto(await begin());
    await page.getByRole('button', { name: 'Log in with a passkey' }).click();
    await page.getByRole('alert').getByText('did not work').waitFor();
    expect(await page.getByRole('button', { name: 'Log in with a passkey' }).isEnabled()).toBe(true);
    expect(await violations(page)).toEqual([]);
  });

  it('are not offered where the browser has none', async () => {
    const page = await openWindow(browser, { javaScript: true });
    await page.addInitScript('delete globalThis.PublicKeyCredential');
    await page.goto(await begin());
    expect(await page.getByRole('button').allTextContents()).toEqual(['Log in', 'Cancel']);
  });
});
