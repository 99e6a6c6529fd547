import { afterAll, beforeAll, expect, it } from 'vitest';
import * as client from 'openid-client';
import { onEachDatabase } from './databases.ts';
import { formsOf, openBrowser } from './browser.ts';
import {
  authorization,
  exchange,
  headerOf,
  logInBrowser,
  openLoginPage,
  payloadOf,
  refresh,
  submitLogin,
} from './flows.ts';
import { password, type TestIdentity } from './identity-server.ts';

onEachDatabase('the authorization code flow', ({ start }) => {
  let identity: TestIdentity;
  let subject: string;

  beforeAll(async () => {
    identity = await start();
    subject = await identity.addUser('ada');
  });
  afterAll(() => identity.stop());

  it('issues a one-minute JWT, a refresh token and an ID token', async () => {
    const { tokens } = await logInBrowser(identity, 'ada');
    expect(headerOf(tokens.access)).toMatchObject({ alg: 'RS256', typ: 'at+jwt', kid: expect.any(String) });
    const claims = payloadOf(tokens.access);
    expect(claims).toMatchObject({
      iss: identity.issuer,
      sub: subject,
      aud: 'orders',
      client_id: 'web',
      scope: 'read',
      jti: expect.any(String),
      grant_id: expect.any(String),
    });
    expect(Number(claims['exp']) - Number(claims['iat'])).toBe(60);
    expect(payloadOf(tokens.id ?? '')).toMatchObject({ sub: subject, aud: 'web', preferred_username: 'ada' });
  });

  it('keeps the login: a second client needs no password and gets its own session', async () => {
    const { tokens, browser } = await logInBrowser(identity, 'ada');
    const second = await logInBrowser(identity, 'ada', {
      browser,
      clientId: 'other',
      redirect: 'http://127.0.0.1:3001/cb',
    });
    expect(second.tokens.session).not.toBe(tokens.session);
    const again = await logInBrowser(identity, 'ada', { browser });
    expect(again.tokens.session).toBe(tokens.session);
  });

  it('shows the client and keeps the user name when the password is wrong', async () => {
    const browser = openBrowser();
    const { url } = await authorization(identity);
    const page = await openLoginPage(identity, browser, url);
    expect(page.status).toBe(200);
    expect(page.body).toContain('Web shop &lt;&amp;&gt;');
    const [form] = formsOf(page);
    const answer = await browser.post(form?.action ?? '', { username: 'ada"><b>', password: 'wrong' });
    expect(answer.status).toBe(401);
    expect(answer.body).toContain('wrong');
    expect(answer.body).toContain('value="ada&quot;&gt;&lt;b&gt;"');
    expect(answer.body).not.toContain(password);
  });

  it('can be cancelled', async () => {
    const browser = openBrowser();
    const { url } = await authorization(identity);
    const page = await openLoginPage(identity, browser, url);
    const cancel = formsOf(page)[1];
    const left = await browser.follow(await browser.post(cancel?.action ?? '', {}), identity.issuer);
    expect(new URL(left.location ?? '').searchParams.get('error')).toBe('access_denied');
  });

  it('asks for confirmation before it gives a login to a native app', async () => {
    const options = { clientId: 'native', redirect: 'com.example.app:/cb' };
    const browser = openBrowser();
    const begun = await authorization(identity, options);
    const page = await openLoginPage(identity, browser, begun.url);
    const question = await submitLogin(identity, browser, page, 'ada');
    expect(question.body).toContain('native');
    expect(question.headers.get('content-security-policy')).toContain("form-action 'self' com.example.app:");
    const [form] = formsOf(question);
    const left = await browser.follow(await browser.post(form?.action ?? '', {}), identity.issuer);
    const tokens = await exchange(begun, left);
    expect(payloadOf(tokens.access)['client_id']).toBe('native');
    expect((await refresh(identity, tokens, 'native')).session).toBe(tokens.session);
  });

  it('refuses a request without PKCE, and an address that is not registered', async () => {
    const browser = openBrowser();
    const { url } = await authorization(identity);
    url.searchParams.delete('code_challenge');
    url.searchParams.delete('code_challenge_method');
    const without = await browser.get(url.href);
    expect(new URL(without.location ?? '').searchParams.get('error')).toBe('invalid_request');

    const elsewhere = await authorization(identity, { redirect: 'http://evil.example/cb' });
    const answer = await browser.get(elsewhere.url.href);
    expect(answer).toMatchObject({ status: 400, location: undefined });
    expect(answer.body).toContain('invalid_redirect_uri');
  });

  it('redeems a code once: a second use after its refresh token was used ends the session', async () => {
    const browser = openBrowser();
    const begun = await authorization(identity);
    const left = await submitLogin(
      identity,
      browser,
      await openLoginPage(identity, browser, begun.url),
      'ada',
    );
    const tokens = await refresh(identity, await exchange(begun, left), 'web');
    await expect(exchange(begun, left)).rejects.toThrow(client.ResponseBodyError);
    await expect(refresh(identity, tokens, 'web')).rejects.toMatchObject({ error: 'invalid_grant' });
  });
});
