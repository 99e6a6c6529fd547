import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deviceName } from '../../src/identity/interaction/sessions-page.ts';
import { textsFor } from '../../src/identity/text/strings.ts';
import { listAudit } from '../../src/identity/operator/session-commands.ts';
import { formsOf, openBrowser, type Browser, type Visit } from './browser.ts';
import { onEachDatabase } from './databases.ts';
import { authorization, logInBrowser, login, openLoginPage, refresh, submitLogin } from './flows.ts';
import type { TestIdentity } from './identity-server.ts';

const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const invalidGrant = expect.objectContaining({ error: 'invalid_grant' });

onEachDatabase('the account page', ({ start }) => {
  let identity: TestIdentity;

  beforeAll(async () => {
    identity = await start();
    await identity.addUser('hypatia');
    await identity.addUser('mallory');
  });
  afterAll(() => identity.stop());

  const open = async (browser: Browser): Promise<Visit> =>
    await browser.follow(await browser.get(`${identity.issuer}/account`), identity.issuer);

  it('requires a login first', async () => {
    const browser = openBrowser(firefox);
    const page = await open(browser);
    expect(page.body).toContain('name="password"');
    const shown = await submitLogin(identity, browser, page, 'hypatia');
    expect(shown.status).toBe(200);
    expect(shown.body).toContain('Your sessions');
    expect(shown.body).toContain('hypatia');
    expect(shown.headers.get('content-security-policy')).toContain('script-src;');
    expect(shown.headers.get('cache-control')).toBe('no-store');
  });

  it('lists each device once, with its apps, this browser first', async () => {
    await identity.addUser('emilie');
    await login(identity, 'emilie');
    const { browser } = await logInBrowser(identity, 'emilie', { browser: openBrowser(firefox) });
    await logInBrowser(identity, 'emilie', {
      browser,
      clientId: 'other',
      redirect: 'http://127.0.0.1:3001/cb',
    });
    const page = await open(browser);
    const [here = '', other = ''] = page.body.split('<li>').slice(1);
    expect(here).toContain('Firefox on Linux');
    expect(here).toContain('This browser');
    expect(here).toContain('Web shop &lt;&amp;&gt;');
    expect(here).toContain('other');
    expect(other).toContain('cli');
    expect(other).toContain('127.0.0.1');
    expect(formsOf(page)).toHaveLength(3);
  });

  it('logs another device out and keeps this one', async () => {
    const stolen = await logInBrowser(identity, 'hypatia', { browser: openBrowser('Stolen phone') });
    const { tokens, browser } = await logInBrowser(identity, 'hypatia');
    const page = await open(browser);
    const form = formsOf(page).find(({ fields }) => fields['session'] === stolen.tokens.session);
    const answer = await browser.post(form?.action ?? '', form?.fields ?? {});
    const shown = await browser.follow(answer, identity.issuer);
    expect(shown.body).not.toContain('Stolen phone');
    await expect(refresh(identity, stolen.tokens, 'web')).rejects.toEqual(invalidGrant);
    const thief = await openLoginPage(identity, stolen.browser, (await authorization(identity)).url);
    expect(thief.body).toContain('name="password"');
    expect((await refresh(identity, tokens, 'web')).session).toBe(tokens.session);
    expect((await listAudit(identity.config, 1))[0]).toMatchObject({
      action: 'revoke.session',
      actor: { kind: 'person', address: '127.0.0.1' },
      details: { sessions: 1, reason: 'logout' },
    });
  });

  it('ends this browser', async () => {
    const { tokens, browser } = await logInBrowser(identity, 'hypatia');
    const form = formsOf(await open(browser)).find(({ fields }) => fields['session'] === tokens.session);
    const answer = await browser.post(form?.action ?? '', form?.fields ?? {});
    expect(answer.body).toContain('You are logged out');
    expect((await open(browser)).body).toContain('name="password"');
    await expect(refresh(identity, tokens, 'web')).rejects.toEqual(invalidGrant);
  });

  it('logs out everywhere', async () => {
    const device = await login(identity, 'hypatia');
    const { tokens, browser } = await logInBrowser(identity, 'hypatia');
    const form = formsOf(await open(browser)).at(-1);
    expect(form?.action).toContain('/account/logout-everywhere');
    const answer = await browser.post(form?.action ?? '', form?.fields ?? {});
    expect(answer.body).toContain('No app on any device');
    await expect(refresh(identity, device)).rejects.toEqual(invalidGrant);
    await expect(refresh(identity, tokens, 'web')).rejects.toEqual(invalidGrant);
    expect((await open(browser)).body).toContain('name="password"');
  });

  it("can't end sessions of another user", async () => {
    const victim = await login(identity, 'hypatia');
    const { browser } = await logInBrowser(identity, 'mallory');
    const [form] = formsOf(await open(browser));
    await browser.post(form?.action ?? '', { ...form?.fields, session: victim.session });
    expect((await refresh(identity, victim)).session).toBe(victim.session);
  });

  it('refuses forms from another site and forms made for another login', async () => {
    const { tokens, browser } = await logInBrowser(identity, 'hypatia');
    const page = await open(browser);
    const form = formsOf(page).at(-1);
    const foreign = await browser.post(form?.action ?? '', form?.fields ?? {}, {
      origin: 'http://evil.example',
    });
    expect(foreign.status).toBe(403);
    const { browser: mallory } = await logInBrowser(identity, 'mallory');
    const hers = formsOf(await open(mallory)).at(-1);
    expect((await browser.post(form?.action ?? '', hers?.fields ?? {})).status).toBe(403);
    expect((await browser.post(form?.action ?? '', {})).status).toBe(403);
    expect((await refresh(identity, tokens, 'web')).session).toBe(tokens.session);
  });

  it('is in the language the browser asks for', async () => {
    const { browser } = await logInBrowser(identity, 'hypatia');
    const page = await browser.get(`${identity.issuer}/account`, {
      'accept-language': 'fr, de-AT;q=0.8, en;q=0.5',
    });
    expect(page.body).toContain('Ihre Sitzungen');
    expect(page.body).toContain('<html lang="de">');
  });
});

describe('the language of a page', () => {
  it.each([
    [undefined, 'en'],
    ['', 'en'],
    ['de', 'de'],
    ['DE-CH', 'de'],
    ['fr', 'en'],
    ['en;q=0.4, de;q=0.5', 'de'],
    ['de;q=0, en;q=0.1', 'en'],
    ['de;q=2', 'en'],
    [`${'x'.repeat(300)},de`, 'en'],
  ])('for %j is %s', (header, language) => {
    expect(textsFor(header).language).toBe(language);
  });

  it('has the same texts in each language', () => {
    const shape = (texts: object): unknown =>
      Object.entries(texts).map(([key, value]: [string, unknown]) =>
        typeof value === 'object' && value !== null ? [key, shape(value)] : [key, typeof value],
      );
    expect(shape(textsFor('de'))).toEqual(shape(textsFor('en')));
    expect(textsFor('de').login.throttled(30)).toContain('30 Sekunden');
    expect(textsFor('en').login.throttled(61)).toContain('2 minutes');
    expect(textsFor('en').login.throttled(1)).toContain('1 second.');
  });
});

describe('a device', () => {
  it.each([
    [firefox, 'Firefox on Linux'],
    [
      'Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0',
      'Edge on Windows',
    ],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1',
      'Safari on iOS',
    ],
    [
      'Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36',
      'Chrome on Android',
    ],
    ['curl/8.5.0', 'curl/8.5.0'],
    ['', 'Unknown device'],
  ])('that calls itself %j is named %j', (userAgent, name) => {
    expect(deviceName(textsFor('en'), userAgent)).toBe(name);
  });
});
