import { afterAll, beforeAll, expect, it } from 'vitest';
import * as client from 'openid-client';
import { onEachDatabase } from './databases.ts';
import { formsOf, openBrowser } from './browser.ts';
import {
  authorization,
  exchange,
  logInBrowser,
  login,
  openLoginPage,
  payloadOf,
  refresh,
  submitLogin,
} from './flows.ts';
import { loginGrantType, password, type TestIdentity } from './identity-server.ts';

const invalidGrant = expect.objectContaining({ error: 'invalid_grant' });

onEachDatabase('a session', ({ start }) => {
  let identity: TestIdentity;
  let subject: string;

  beforeAll(async () => {
    identity = await start();
    subject = await identity.addUser('grace');
  });
  afterAll(() => identity.stop());

  it('begins with user name and password, in any spelling of the name', async () => {
    const tokens = await login(identity, 'Grace');
    expect(payloadOf(tokens.access)).toMatchObject({ sub: subject, aud: 'orders', scope: 'read write' });
    expect(tokens.refresh).toMatch(/^[\w.-]{43,}$/);
  });

  it('has the requested scopes and no others', async () => {
    const tokens = await login(identity, 'grace', { scope: 'write admin', resource: 'orders' });
    expect(payloadOf(tokens.access)['scope']).toBe('write');
    const next = await refresh(identity, tokens);
    expect(payloadOf(next.access)['scope']).toBe('write');
  });

  it('refuses a wrong password and an unknown user with identical responses', async () => {
    const party = await identity.relyingParty('cli');
    const refusal = async (username: string, secret: string): Promise<unknown> =>
      client
        .genericGrantRequest(party, loginGrantType, { username, password: secret })
        .catch((thrown: unknown) => (thrown instanceof client.ResponseBodyError ? thrown.cause : thrown));
    const wrong = await refusal('grace', 'wrong-password');
    expect(wrong).toEqual({ error: 'invalid_grant', error_description: 'grant request is invalid' });
    expect(await refusal('nobody', password)).toEqual(wrong);
  });

  it('refuses an unknown resource', async () => {
    await expect(login(identity, 'grace', { resource: 'payments' })).rejects.toMatchObject({
      error: 'invalid_target',
    });
  });

  it('is refused to a client that does not list the grant type', async () => {
    const party = await identity.relyingParty('web');
    await expect(
      client.genericGrantRequest(party, loginGrantType, { username: 'grace', password }),
    ).rejects.toThrow(client.ResponseBodyError);
  });

  it('has no refresh token at a client without that grant type', async () => {
    const party = await identity.relyingParty('cli-without-refresh');
    const response = await client.genericGrantRequest(party, loginGrantType, {
      username: 'grace',
      password,
    });
    expect(response.refresh_token).toBeUndefined();
    expect(payloadOf(response.access_token)['grant_id']).toEqual(expect.any(String));
  });

  it('continues through refreshes with the same id and new tokens', async () => {
    const first = await login(identity, 'grace');
    const second = await refresh(identity, first);
    const third = await refresh(identity, second);
    expect(new Set([first, second, third].map((tokens) => tokens.session)).size).toBe(1);
    expect(new Set([first, second, third].map((tokens) => tokens.refresh)).size).toBe(3);
    expect(new Set([first, second, third].map((tokens) => payloadOf(tokens.access)['jti'])).size).toBe(3);
  });

  it('ends when its refresh token is revoked; revoking an unknown token succeeds silently', async () => {
    const party = await identity.relyingParty('cli');
    const tokens = await login(identity, 'grace');
    await client.tokenRevocation(party, tokens.refresh);
    await expect(refresh(identity, tokens)).rejects.toEqual(invalidGrant);
    await client.tokenRevocation(party, tokens.refresh);
    await client.tokenRevocation(party, 'no-such-token');
  });

  it('cannot be ended by another client', async () => {
    const tokens = await login(identity, 'grace');
    await client.tokenRevocation(await identity.relyingParty('web'), tokens.refresh);
    expect((await refresh(identity, tokens)).session).toBe(tokens.session);
  });

  it('ends when an older refresh token is reused, but not on the other device', async () => {
    const slow = await start({}, {});
    try {
      await slow.addUser('joan');
      const stolen = await login(slow, 'joan');
      const other = await login(slow, 'joan');
      const current = await refresh(slow, await refresh(slow, stolen));
      const thief = await fetch(`${slow.issuer}/token`, {
        method: 'POST',
        headers: { 'user-agent': 'another device' },
        body: new URLSearchParams({
          grant_type: 'refresh_token',
          client_id: 'cli',
          refresh_token: stolen.refresh,
        }),
      });
      expect(thief.status).toBe(400);
      await expect(refresh(slow, current)).rejects.toEqual(invalidGrant);
      expect((await refresh(slow, other)).session).toBe(other.session);
      expect(await slow.metric('curfew_refresh_reuse_total')).toBe(1);
    } finally {
      await slow.stop();
    }
  });

  it('survives two tabs that refresh concurrently: both get the same successor', async () => {
    const tokens = await login(identity, 'grace');
    const [one, other] = await Promise.all([refresh(identity, tokens), refresh(identity, tokens)]);
    expect(other.refresh).toBe(one.refresh);
    expect((await refresh(identity, one)).session).toBe(tokens.session);
  });

  it("ends with the logout of its browser, together with the browser's other sessions", async () => {
    const { tokens, browser } = await logInBrowser(identity, 'grace');
    const second = await logInBrowser(identity, 'grace', {
      browser,
      clientId: 'other',
      redirect: 'http://127.0.0.1:3001/cb',
    });
    const elsewhere = await logInBrowser(identity, 'grace');
    const party = await identity.relyingParty('web');
    const url = client.buildEndSessionUrl(party, {
      id_token_hint: tokens.id ?? '',
      post_logout_redirect_uri: 'http://127.0.0.1:3000/bye',
    });
    const page = await browser.get(url.href);
    expect(page.body).toContain('Log out?');
    expect(page.headers.get('content-security-policy')).toContain("form-action 'self' http://127.0.0.1:3000");
    const [form] = formsOf(page);
    const left = await browser.post(form?.action ?? '', { ...form?.fields, logout: 'yes' });
    expect(left.location).toBe('http://127.0.0.1:3000/bye');
    await expect(refresh(identity, tokens, 'web')).rejects.toEqual(invalidGrant);
    await expect(refresh(identity, second.tokens, 'other')).rejects.toEqual(invalidGrant);
    expect((await refresh(identity, elsewhere.tokens, 'web')).session).toBe(elsewhere.tokens.session);
    expect(identity.logged()).toContain('"reason":"logout"');
  });

  it('ends with a logout whose path is spelled differently', async () => {
    const { tokens, browser } = await logInBrowser(identity, 'grace');
    const [form] = formsOf(await browser.get(`${identity.issuer}/session/end`));
    const login = browser.cookies().filter(({ name }) => name.startsWith('curfew_login'));
    const loud = form?.action.replace('/session/end', '/SESSION/END') ?? '';
    expect((await browser.post(loud, { ...form?.fields, logout: 'yes' })).status).toBe(303);
    await expect(refresh(identity, tokens, 'web')).rejects.toEqual(invalidGrant);
    const cookie = login.map(({ name, value }) => `${name}=${value}`).join('; ');
    const { url } = await authorization(identity);
    const kept = await fetch(url, { headers: { cookie }, redirect: 'manual' });
    expect(kept.headers.get('location')).toContain('/interaction/');
  });

  it('ends when another user logs in with the same browser', async () => {
    await identity.addUser('barbara');
    const { tokens, browser } = await logInBrowser(identity, 'grace');
    const begun = await authorization(identity, { more: { prompt: 'login' } });
    const page = await openLoginPage(identity, browser, begun.url);
    const between = await submitLogin(identity, browser, page, 'barbara');
    const [form] = formsOf(between);
    const back = await browser.post(form?.action ?? '', form?.fields ?? {});
    const barbara = await exchange(begun, await browser.follow(back, identity.issuer));
    expect(payloadOf(barbara.access)['sub']).not.toBe(subject);
    await expect(refresh(identity, tokens, 'web')).rejects.toEqual(invalidGrant);
  });

  it('continues when the user cancels the logout', async () => {
    const { tokens, browser } = await logInBrowser(identity, 'grace');
    const page = await browser.get(`${identity.issuer}/session/end`);
    const [form] = formsOf(page);
    await browser.post(form?.action ?? '', form?.fields ?? {});
    const again = await logInBrowser(identity, 'grace', { browser });
    expect(again.tokens.session).toBe(tokens.session);
  });

  it("is not ended by another site's logout form", async () => {
    const { tokens, browser } = await logInBrowser(identity, 'grace');
    const page = await browser.get(`${identity.issuer}/session/end`);
    const [form] = formsOf(page);
    const fields = { ...form?.fields, logout: 'yes' };
    const foreign = await browser.post(form?.action ?? '', fields, { origin: 'http://evil.example' });
    expect(foreign.status).toBe(403);
    const forged = await browser.post(form?.action ?? '', { xsrf: 'guess', logout: 'yes' });
    expect(forged.status).toBe(400);
    expect((await refresh(identity, tokens, 'web')).session).toBe(tokens.session);
  });

  it('shows a logged-out page when there is no redirect URI', async () => {
    const { browser } = await logInBrowser(identity, 'grace');
    const page = await browser.get(`${identity.issuer}/session/end`);
    const [form] = formsOf(page);
    const answer = await browser.post(form?.action ?? '', { ...form?.fields, logout: 'yes' });
    const last = await browser.follow(answer, identity.issuer);
    expect(last).toMatchObject({ status: 200, body: expect.stringContaining('You are logged out') });
    expect(browser.cookies().some(({ name }) => name === 'curfew_login')).toBe(false);
  });

  it('need not exist for a logout: a self-submitting form continues', async () => {
    const browser = openBrowser();
    const page = await browser.get(
      `${identity.issuer}/session/end?client_id=web&post_logout_redirect_uri=http://127.0.0.1:3000/bye`,
    );
    expect(page.body).toContain('<h1>One moment</h1>');
    const script = /<script>(?<text>.*?)<\/script>/s.exec(page.body)?.groups?.['text'] ?? '';
    const digest = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(script))).toString('base64');
    const policy = page.headers.get('content-security-policy');
    expect(policy).toContain(`script-src 'sha256-${digest}'`);
    expect(policy).toContain("form-action 'self' http://127.0.0.1:3000");
    const [form] = formsOf(page);
    const left = await browser.post(form?.action ?? '', form?.fields ?? {});
    expect(left.location).toBe('http://127.0.0.1:3000/bye');
  });

  it('is not available to a cookie from before the login', async () => {
    const browser = openBrowser();
    const { tokens } = await logInBrowser(identity, 'grace', { browser });
    const before = browser.cookies().find(({ name }) => name === 'curfew_login')?.value;
    await logInBrowser(identity, 'grace', { browser, more: { prompt: 'login' } });
    const after = browser.cookies().find(({ name }) => name === 'curfew_login')?.value;
    expect(after).not.toBe(before);
    expect((await refresh(identity, tokens, 'web')).session).toBe(tokens.session);
  });
});
