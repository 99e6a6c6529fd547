import { afterEach, describe, expect, it } from 'vitest';
import { formsOf, openBrowser, type Browser, type Visit } from './browser.ts';
import { authorization, logInBrowser, openLoginPage, submitLogin } from './flows.ts';
import { startIdentity, webRedirect, type TestIdentity } from './identity-server.ts';

const formAction = ({ headers }: Visit): string | undefined =>
  /form-action (?<sources>[^;]*)/.exec(headers.get('content-security-policy') ?? '')?.groups?.['sources'];

let identity: TestIdentity;

async function start(resources: object = { orders: { scopes: ['read'] } }): Promise<void> {
  identity = await startIdentity({ resources });
  await identity.addUser('ida');
}
afterEach(() => identity.stop());

const openAccount = async (browser: Browser, query = ''): Promise<Visit> =>
  await browser.follow(await browser.get(`${identity.issuer}/account${query}`), identity.issuer);

async function cancel(browser: Browser, page: Visit): Promise<Visit> {
  const form = formsOf(page).find(({ action }) => action.endsWith('/cancel'));
  return await browser.follow(await browser.post(form?.action ?? '', {}), identity.issuer);
}

describe.each([
  ['one resource', { orders: { scopes: ['read'] } }],
  [
    'several resources',
    { orders: { scopes: ['read'] }, 'https://pay.example': { scopes: ['pay'] }, log: {} },
  ],
])('the log-in of /account, with %s', (_, resources) => {
  it('leads to the account page', async () => {
    await start(resources);
    const browser = openBrowser();
    const page = await openAccount(browser);
    expect(page.body).toContain('name="password"');
    const shown = await submitLogin(identity, browser, page, 'ida');
    expect([shown.status, shown.location]).toEqual([200, undefined]);
    expect(shown.body).toContain('Your sessions');
  });

  it('ends when the user cancels it, and can be started again from there', async () => {
    await start(resources);
    const browser = openBrowser();
    const ended = await cancel(browser, await openAccount(browser));
    expect([ended.status, ended.location]).toEqual([200, undefined]);
    expect(ended.body).toContain('You are not logged in');
    const [, link = ''] = /<a href="(?<link>[^"]*)"/.exec(ended.body) ?? [];
    const again = await browser.follow(await browser.get(new URL(link, ended.url).href), identity.issuer);
    const shown = await submitLogin(identity, browser, again, 'ida');
    expect(shown.body).toContain('Your sessions');
  });
});

describe('the response to a login at /account', () => {
  it.each(['?error=server_error', '?error=invalid_target&error_description=call-0800', '?iss=x', '?error='])(
    'never leads to another log-in: %s',
    async (query) => {
      await start();
      const browser = openBrowser();
      const answer = await browser.get(`${identity.issuer}/account${query}`);
      expect(answer.location).toBeUndefined();
      expect(answer.body).toContain('You are not logged in');
      expect(answer.body).not.toContain('call-0800');
    },
  );

  it('shows the sessions when a user is logged in', async () => {
    await start();
    const { browser } = await logInBrowser(identity, 'ida');
    const page = await openAccount(browser, '?error=access_denied');
    expect(page.body).toContain('Your sessions');
  });
});

describe('a self-submitting page', () => {
  it('may redirect to the app when another user logs in, and to no other origin', async () => {
    await start();
    await identity.addUser('joan');
    const { browser } = await logInBrowser(identity, 'ida');
    const begun = await authorization(identity, { more: { prompt: 'login' } });
    const page = await openLoginPage(identity, browser, begun.url);
    const between = await submitLogin(identity, browser, page, 'joan');
    expect(between.body).toContain('end/confirm');
    expect(formAction(between)).toBe(`'self' ${new URL(webRedirect).origin}`);
  });

  it('posts an error to the app that requested form_post, and to no other origin', async () => {
    await start();
    const { url } = await authorization(identity, { more: { response_mode: 'form_post', state: 'abc' } });
    const answer = await openBrowser().get(url.href);
    expect(answer.status).toBe(400);
    expect(formAction(answer)).toBe(new URL(webRedirect).origin);
    const [form] = formsOf(answer);
    expect(form).toMatchObject({
      action: webRedirect,
      fields: { error: 'invalid_request', state: 'abc', iss: identity.issuer },
    });
  });

  it('posts nothing to an address that is not the app’s', async () => {
    await start();
    const { url } = await authorization(identity, {
      redirect: 'http://127.0.0.1:3009/cb',
      more: { response_mode: 'form_post' },
    });
    const answer = await openBrowser().get(url.href);
    expect(formAction(answer)).toBe("'self'");
    expect(answer.body).not.toContain('3009');
  });
});
