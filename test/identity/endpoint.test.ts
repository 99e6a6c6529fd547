import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as client from 'openid-client';
import { openBrowser, formsOf } from './browser.ts';
import { authorization, logInBrowser, login, openLoginPage, payloadOf } from './flows.ts';
import {
  loginGrantType,
  password,
  serviceSecret,
  startIdentity,
  type TestIdentity,
} from './identity-server.ts';
import { eventually, freePort } from '../processes.ts';

describe('the public listener', () => {
  let identity: TestIdentity;

  beforeAll(async () => {
    identity = await startIdentity();
    await identity.addUser('mary');
  });
  afterAll(() => identity.stop());

  const post = (path: string, fields: Record<string, string>, headers: Record<string, string> = {}) =>
    fetch(`${identity.issuer}${path}`, { method: 'POST', body: new URLSearchParams(fields), headers });

  it('sends pages that run no script, load nothing and cannot be framed', async () => {
    const browser = openBrowser();
    const { url } = await authorization(identity);
    const page = await openLoginPage(identity, browser, url);
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).toContain("form-action 'self' http://127.0.0.1:3000;");
    // An empty list allows nothing (CSP Level 3 §6.7.2.6).
    expect(policy).toContain('script-src;');
    expect(page.headers.get('cache-control')).toBe('no-store');
    expect(page.headers.get('x-content-type-options')).toBe('nosniff');
    expect(page.body).not.toMatch(/<script|javascript:|\son\w+=|https?:\/\//);
  });

  it('allows exactly the style it sends', async () => {
    const browser = openBrowser();
    const page = await openLoginPage(identity, browser, (await authorization(identity)).url);
    const style = /<style>(?<style>.*?)<\/style>/s.exec(page.body)?.groups?.['style'] ?? '';
    const digest = await crypto.subtle.digest('SHA-256', Buffer.from(style));
    expect(page.headers.get('content-security-policy')).toContain(
      `style-src 'sha256-${Buffer.from(digest).toString('base64')}'`,
    );
  });

  it("sets signed cookies that scripts and other sites can't read", async () => {
    const { browser } = await logInBrowser(identity, 'mary');
    const cookies = browser.cookies();
    expect(cookies.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['curfew_login', 'curfew_login.sig']),
    );
    for (const { attributes } of cookies) expect(attributes).toMatch(/samesite=lax.*httponly/i);
  });

  it('ignores a login cookie with a wrong signature', async () => {
    const { browser } = await logInBrowser(identity, 'mary');
    const login = browser.cookies().find(({ name }) => name === 'curfew_login');
    const { url } = await authorization(identity);
    const answer = await fetch(url, {
      headers: { cookie: `curfew_login=${login?.value}; curfew_login.sig=${'A'.repeat(27)}` },
      redirect: 'manual',
    });
    expect(answer.headers.get('location')).toContain('/interaction/');
  });

  it('refuses a login form that another site sent', async () => {
    const browser = openBrowser();
    const page = await openLoginPage(identity, browser, (await authorization(identity)).url);
    const [form] = formsOf(page);
    const fields = { username: 'mary', password };
    const foreign = await browser.post(form?.action ?? '', fields, { origin: 'http://evil.example' });
    expect(foreign.status).toBe(403);
    const marked = await browser.post(form?.action ?? '', fields, { 'sec-fetch-site': 'cross-site' });
    expect(marked.status).toBe(403);
  });

  it('shows a login page only to the browser that made the request', async () => {
    const page = await openLoginPage(identity, openBrowser(), (await authorization(identity)).url);
    const stranger = await openBrowser().get(page.url);
    expect(stranger.status).toBe(400);
    expect(stranger.body).toContain('another browser');
    const [form] = formsOf(page);
    const answer = await openBrowser().post(form?.action ?? '', { username: 'mary', password });
    expect(answer.status).toBe(400);
  });

  it('does not let a browser finish a login whose cookies were planted', async () => {
    const [thief, victim] = [openBrowser(), openBrowser()];
    const page = await openLoginPage(identity, thief, (await authorization(identity)).url);
    await openLoginPage(identity, victim, (await authorization(identity)).url);
    const [form] = formsOf(page);
    const planted = [
      // What a neighbour domain can set, before or after what the browser has.
      ...thief.cookies().filter(({ name }) => name.startsWith('curfew_interaction')),
      ...victim.cookies().filter(({ name }) => name === 'curfew_browser'),
    ];
    const cookie = planted.map(({ name, value }) => `${name}=${value}`).join('; ');
    const answer = await openBrowser().post(form?.action ?? '', { username: 'mary', password }, { cookie });
    expect(answer.status).toBe(400);
    const nameless = planted.filter(({ name }) => name !== 'curfew_browser');
    const without = nameless.map(({ name, value }) => `${name}=${value}`).join('; ');
    expect((await openBrowser().get(page.url, { cookie: without })).status).toBe(400);
    // The one it began in can.
    expect((await thief.post(form?.action ?? '', { username: 'mary', password })).status).toBe(303);
  });

  it('refuses a form with the cookies of another login page', async () => {
    const [mine, other] = [openBrowser(), openBrowser()];
    const page = await openLoginPage(identity, mine, (await authorization(identity)).url);
    await openLoginPage(identity, other, (await authorization(identity)).url);
    const cookie = other
      .cookies()
      .filter(({ name }) => name.startsWith('curfew_interaction'))
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
    const [form] = formsOf(page);
    const fields = { username: 'mary', password };
    expect((await openBrowser().post(form?.action ?? '', fields, { cookie })).status).toBe(400);
  });

  it("answers with the issuer's address, whatever host a request names", async () => {
    const answer = await fetch(`${identity.issuer}/.well-known/openid-configuration`, {
      headers: {
        'x-forwarded-host': 'evil.example',
        'x-forwarded-proto': 'https',
        forwarded: 'host=evil.example',
      },
    });
    const metadata = (await answer.json()) as Record<string, string>;
    expect(metadata['token_endpoint']).toBe(`${identity.issuer}/token`);
    expect(JSON.stringify(metadata)).not.toContain('evil.example');
    expect(metadata['response_modes_supported']).toEqual(['query']);
  });

  it('allows caching of keys and discovery, but not of tokens', async () => {
    const cached = await fetch(`${identity.issuer}/jwks`);
    expect(cached.headers.get('cache-control')).toBe('public, max-age=300');
    expect(await cached.text()).not.toContain('"d"');
    const token = await post('/token', {
      grant_type: loginGrantType,
      client_id: 'cli',
      username: 'mary',
      password,
    });
    expect(token.headers.get('cache-control')).toBe('no-store');
  });

  it('refuses a form that is too long, with and without a stated length', async () => {
    const long = 'x'.repeat(20_000);
    expect(
      (await post('/token', { grant_type: loginGrantType, client_id: 'cli', password: long })).status,
    ).toBe(413);
    const chunked = await fetch(`${identity.issuer}/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new Blob([long]).stream(),
      duplex: 'half',
    });
    expect(chunked.status).toBe(413);
  });

  it('survives input that is not HTTP', async () => {
    const { port } = new URL(identity.issuer);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write('NOT HTTP AT ALL\r\n\r\n');
    expect(await text(socket)).toMatch(/^HTTP\/1.1 400/);
  });

  it.each([
    ['before its request is whole', 'client'],
    ['while it is being answered', `${'x'.repeat(94)}client`],
  ])('takes a client that hangs up %s for no fault', async (_, body) => {
    const { port } = new URL(identity.issuer);
    const before = identity.logged().length;
    const socket = connect(Number(port), '127.0.0.1');
    const head = ['POST /token HTTP/1.1', 'host: id', 'expect: 100-continue', 'content-length: 100'];
    socket.write(`${head.join('\r\n')}\r\ncontent-type: application/x-www-form-urlencoded\r\n\r\n`);
    // The server is waiting for the rest.
    await once(socket, 'data');
    socket.write(body);
    socket.resetAndDestroy();
    const logged = (): string => identity.logged().slice(before);
    await eventually('the end is logged', () => logged().includes('"msg":"request ') || undefined);
    expect(logged()).toContain('"msg":"request aborted"');
    expect(logged()).not.toContain('"msg":"request failed"');
  });

  it('answers an unknown path with a page, and an unknown method with an error', async () => {
    const missing = await openBrowser().get(`${identity.issuer}/admin`);
    expect(missing).toMatchObject({ status: 404, body: expect.stringContaining('no such page') });
    expect((await fetch(`${identity.issuer}/token`)).status).toBeGreaterThanOrEqual(400);
  });

  it('lets browsers of a public client in by the origin of its address, and no other', async () => {
    const fields = { grant_type: 'refresh_token', client_id: 'web', refresh_token: 'none' };
    const own = await post('/token', fields, { origin: 'http://127.0.0.1:3000' });
    expect(own.headers.get('access-control-allow-origin')).toBe('http://127.0.0.1:3000');
    const foreign = await post('/token', fields, { origin: 'http://evil.example' });
    expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
    // That of a sandboxed frame, and what an app's own scheme has for an origin.
    const sandboxed = await post('/token', { ...fields, client_id: 'native' }, { origin: 'null' });
    expect(sandboxed.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('keeps repeated parameters and arrays away from the login', async () => {
    const body = `grant_type=${encodeURIComponent(loginGrantType)}&client_id=cli&username=mary&password=a&password=b`;
    const answer = await fetch(`${identity.issuer}/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body,
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: 'invalid_request' });
  });

  it('issues a client_credentials token with the client as the subject and without a session', async () => {
    const party = await identity.relyingParty('service', client.ClientSecretBasic(serviceSecret));
    const { access_token: token } = await client.clientCredentialsGrant(party, {
      resource: 'orders',
      scope: 'read',
    });
    expect(payloadOf(token)).toMatchObject({
      sub: 'service',
      client_id: 'service',
      aud: 'orders',
      scope: 'read',
    });
    expect(payloadOf(token)).not.toHaveProperty('grant_id');
    const wrong = await identity.relyingParty('service', client.ClientSecretBasic('another'));
    await expect(client.clientCredentialsGrant(wrong)).rejects.toMatchObject({ status: 401 });
  });

  it('counts logins and tokens, and is ready', async () => {
    const issued = 'curfew_tokens_issued_total{grant="login"}';
    const [tokens, logins] = [await identity.metric(issued), 'curfew_logins_total{result="refused"}'];
    const refused = await identity.metric(logins);
    await login(identity, 'mary');
    await login(identity, 'mary', { password: 'wrong-one' }).catch(() => undefined);
    expect(await identity.metric(issued)).toBe(tokens + 1);
    expect(await identity.metric(logins)).toBe(refused + 1);
    expect((await fetch(`${identity.admin}/readyz`)).status).toBe(200);
  });

  it('shows readiness to the network, but details only to loopback', async () => {
    const answer = async (path: string): Promise<unknown> => (await fetch(`${identity.admin}${path}`)).json();
    expect(await answer('/readyz')).toEqual({
      ready: true,
      parts: { revocation: { role: 'following', problem: 'no connection to Redis' }, clock: 'agrees' },
    });
    expect(await answer('/status')).toMatchObject({
      revocation: {
        owner: expect.any(String),
        address: expect.any(String),
        problem: expect.stringContaining('127.0.0.1'),
      },
    });
  });

  it('does not reveal its database or framework', async () => {
    const answer = await fetch(`${identity.issuer}/token`, { method: 'POST', body: 'garbage' });
    expect(answer.headers.get('x-powered-by')).toBeNull();
    expect(answer.headers.get('server')).toBeNull();
    expect(await answer.text()).not.toMatch(/sqlite|kysely|at .*\.js/i);
  });
});

describe('several resources', () => {
  let identity: TestIdentity;

  beforeAll(async () => {
    identity = await startIdentity({
      resources: { orders: { scopes: ['read'] }, 'https://api.example/pay': { scopes: ['pay'] } },
      clients: [
        {
          client_id: 'cli',
          token_endpoint_auth_method: 'none',
          grant_types: [loginGrantType, 'refresh_token'],
        },
        {
          client_id: 'web',
          token_endpoint_auth_method: 'none',
          redirect_uris: ['http://127.0.0.1:3000/cb'],
          grant_types: ['authorization_code', 'refresh_token'],
          default_resource: 'orders',
        },
      ],
    });
    await identity.addUser('mary');
  });
  afterAll(() => identity.stop());

  it('are named as configured, as a URI or by the name alone', async () => {
    const byName = await login(identity, 'mary', { resource: 'orders' });
    expect(payloadOf(byName.access)).toMatchObject({ aud: 'orders', scope: 'read' });
    const byUri = await login(identity, 'mary', { resource: 'https://api.example/pay' });
    expect(payloadOf(byUri.access)).toMatchObject({ aud: 'https://api.example/pay', scope: 'pay' });
  });

  it('must be named by a client without a default', async () => {
    await expect(login(identity, 'mary')).rejects.toMatchObject({ error: 'invalid_target' });
  });

  it("are the client's default, or chosen in the authorization request", async () => {
    const { tokens } = await logInBrowser(identity, 'mary');
    expect(payloadOf(tokens.access)['aud']).toBe('orders');
    const chosen = await logInBrowser(identity, 'mary', {
      more: { resource: 'https://api.example/pay', scope: 'openid pay' },
    });
    expect(payloadOf(chosen.tokens.access)).toMatchObject({ aud: 'https://api.example/pay', scope: 'pay' });
    const named = await logInBrowser(identity, 'mary', { more: { resource: 'orders' } });
    expect(payloadOf(named.tokens.access)['aud']).toBe('orders');
  });
});

describe('behind a proxy that ends TLS', () => {
  it('serves an https issuer with a path, with cookies for https only', async () => {
    const port = await freePort();
    const identity = await startIdentity({
      issuer: 'https://id.example/accounts',
      listen: `127.0.0.1:${port}`,
      trustedProxyHops: 1,
    });
    try {
      await identity.addUser('mary');
      const inside = (url: string): string => url.replace('https://id.example', `http://127.0.0.1:${port}`);
      const metadata = (await (
        await fetch(inside('https://id.example/accounts/.well-known/openid-configuration'))
      ).json()) as Record<string, string>;
      expect(metadata['authorization_endpoint']).toBe('https://id.example/accounts/auth');
      const url = new URL(inside(metadata['authorization_endpoint'] ?? ''));
      url.search = new URLSearchParams({
        client_id: 'web',
        response_type: 'code',
        redirect_uri: 'http://127.0.0.1:3000/cb',
        scope: 'openid read',
        code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
        code_challenge_method: 'S256',
      }).toString();
      const browser = openBrowser();
      const started = await browser.get(url.href);
      expect(started.location).toMatch(/\/accounts\/interaction\/[\w-]+$/);
      for (const { name, attributes } of browser.cookies()) {
        expect(name).toMatch(/^__(?:Secure|Host)-/);
        expect(attributes).toMatch(/secure/i);
      }
      const page = await browser.get(inside(new URL(started.location ?? '').href));
      const [form] = formsOf(page);
      const answer = await browser.post(inside(form?.action ?? ''), { username: 'mary', password });
      const left = await browser.get(inside(answer.location ?? ''));
      expect(new URL(left.location ?? '').searchParams.get('code')).toEqual(expect.any(String));
      expect(browser.cookies().some(({ name }) => name === '__Host-curfew_login')).toBe(true);
      expect((await fetch(`http://127.0.0.1:${port}/token`, { method: 'POST' })).status).toBe(404);
    } finally {
      await identity.stop();
    }
  });
});
