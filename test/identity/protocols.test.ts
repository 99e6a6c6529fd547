import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import * as client from 'openid-client';
import { revoke } from '../../src/identity/operator/session-commands.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { formsOf, openBrowser, type Browser, type Visit } from './browser.ts';
import { onEachDatabase } from './databases.ts';
import { authorization, exchange, login, openLoginPage, payloadOf, refresh, submitLogin } from './flows.ts';
import { gatewaySecret, password, serviceSecret, type TestIdentity } from './identity-server.ts';

// Nothing is refilled, however slow the machine.
const stoppedClock = { ...systemClock, monotonicMs: () => 0 };

onEachDatabase('introspection', ({ start }) => {
  let identity: TestIdentity;
  let gateway: client.Configuration;

  beforeAll(async () => {
    identity = await start();
    await identity.addUser('dorothy');
    gateway = await identity.relyingParty('gateway', client.ClientSecretBasic(gatewaySecret));
  });
  afterAll(() => identity.stop());

  it('returns the claims of an access token as long as it is valid', async () => {
    const tokens = await login(identity, 'dorothy');
    const claims = payloadOf(tokens.access);
    expect(await client.tokenIntrospection(gateway, tokens.access)).toEqual({
      active: true,
      iss: identity.issuer,
      sub: claims['sub'],
      client_id: 'cli',
      aud: 'orders',
      scope: 'read write',
      token_type: 'Bearer',
      iat: claims['iat'],
      exp: claims['exp'],
      jti: claims['jti'],
      grant_id: tokens.session,
    });
    expect(await client.tokenIntrospection(gateway, tokens.refresh)).toMatchObject({ active: true });
  });

  it('does not let the holder of an access token end its session', async () => {
    const tokens = await login(identity, 'dorothy');
    const wrapped = `at~${Buffer.from(tokens.access).toString('base64url')}`;
    await client.tokenRevocation(await identity.relyingParty('cli'), wrapped);
    expect((await refresh(identity, tokens)).session).toBe(tokens.session);
  });

  it('reflects an ended session and a revoked token, client and key at once', async () => {
    const tokens = await login(identity, 'dorothy');
    await client.tokenRevocation(await identity.relyingParty('cli'), tokens.refresh);
    expect(await client.tokenIntrospection(gateway, tokens.access)).toEqual({ active: false });
    const other = await login(identity, 'dorothy');
    await revoke(identity.config, { kind: 'token', id: String(payloadOf(other.access)['jti']) });
    expect(await client.tokenIntrospection(gateway, other.access)).toEqual({ active: false });
    const next = await refresh(identity, other);
    expect(await client.tokenIntrospection(gateway, next.access)).toMatchObject({ active: true });
    await revoke(identity.config, { kind: 'client', id: 'cli' });
    expect(await client.tokenIntrospection(gateway, next.access)).toEqual({ active: false });
  });

  it('returns the claims of a client_credentials token, and nothing for other texts', async () => {
    const { access_token: own } = await client.clientCredentialsGrant(gateway, { scope: 'read' });
    expect(await client.tokenIntrospection(gateway, own)).toMatchObject({ active: true, sub: 'gateway' });
    const [header = '', body = '', signature = ''] = own.split('.');
    const forged = [
      header,
      body,
      signature.startsWith('A') ? `B${signature.slice(1)}` : `A${signature.slice(1)}`,
    ];
    for (const token of [forged.join('.'), `${header}.${body}.`, 'eyJ.eyJ.eyJ', 'nothing'])
      expect(await client.tokenIntrospection(gateway, token)).toEqual({ active: false });
  });

  it('requires client authentication, and permission for tokens of other clients', async () => {
    const tokens = await login(identity, 'dorothy');
    const service = await identity.relyingParty('service', client.ClientSecretBasic(serviceSecret));
    expect(await client.tokenIntrospection(service, tokens.access)).toEqual({ active: false });
    const { access_token: own } = await client.clientCredentialsGrant(service, { scope: 'read' });
    expect(await client.tokenIntrospection(service, own)).toMatchObject({ active: true });
    const anyone = await identity.relyingParty('cli');
    expect(await client.tokenIntrospection(anyone, tokens.access)).toEqual({ active: false });
  });
});

onEachDatabase('the device flow', ({ start }) => {
  let identity: TestIdentity;
  let party: client.Configuration;

  beforeAll(async () => {
    identity = await start();
    await identity.addUser('dorothy');
    party = await identity.relyingParty('device');
  });
  afterAll(() => identity.stop());

  const begin = (): Promise<client.DeviceAuthorizationResponse> =>
    client.initiateDeviceAuthorization(party, { scope: 'read' });

  async function typeIn(browser: Browser, code: string): Promise<Visit> {
    const page = await browser.get(`${identity.issuer}/device`);
    const [form] = formsOf(page);
    return await browser.post(form?.action ?? '', { ...form?.fields, user_code: code });
  }

  async function allow(browser: Browser, code: string, username?: string): Promise<Visit> {
    const page = await typeIn(browser, code);
    const [form] = formsOf(page);
    const { xsrf = '', user_code: userCode = '' } = form?.fields ?? {};
    const confirmed = await browser.post(form?.action ?? '', { xsrf, user_code: userCode, confirm: 'yes' });
    let at = await browser.follow(confirmed, identity.issuer);
    if (username !== undefined) {
      at = await submitLogin(identity, browser, at, username);
    }
    // An app on a device could be posed as: it is asked for.
    const [ask] = formsOf(at);
    if (ask === undefined) return at;
    return await browser.follow(await browser.post(ask.action, ask.fields), identity.issuer);
  }

  const poll = (deviceCode: string): Promise<Response> =>
    fetch(`${identity.issuer}/token`, {
      method: 'POST',
      headers: { 'user-agent': 'Television 7' },
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
        client_id: 'device',
        device_code: deviceCode,
      }),
    });

  it('logs a device in that a user allows in a browser, with its own session', async () => {
    const browser = openBrowser();
    const codes = await begin();
    expect(codes.verification_uri).toBe(`${identity.issuer}/device`);
    expect(await (await poll(codes.device_code)).json()).toMatchObject({ error: 'authorization_pending' });
    const page = await typeIn(browser, codes.user_code);
    expect(page.body).toContain(codes.user_code);
    expect(page.body).toContain('Television');
    const done = await allow(browser, codes.user_code, 'dorothy');
    expect(done.body).toContain('The device is logged in');
    const answer = (await (await poll(codes.device_code)).json()) as client.TokenEndpointResponse;
    expect(payloadOf(answer.access_token)).toMatchObject({
      client_id: 'device',
      scope: 'read',
      aud: 'orders',
    });
    const again = await begin();
    await allow(browser, again.user_code);
    const second = (await (await poll(again.device_code)).json()) as client.TokenEndpointResponse;
    expect(payloadOf(second.access_token)['grant_id']).not.toBe(payloadOf(answer.access_token)['grant_id']);
    // Not the browser's: a logout there leaves it.
    const [form] = formsOf(await browser.get(`${identity.issuer}/session/end`));
    await browser.post(form?.action ?? '', { ...form?.fields, logout: 'yes' });
    const next = await client.refreshTokenGrant(party, answer.refresh_token ?? '');
    expect(payloadOf(next.access_token)['grant_id']).toBe(payloadOf(answer.access_token)['grant_id']);
  });

  it('issues one refresh token: reusing a device code after it was used ends the session', async () => {
    const codes = await begin();
    await allow(openBrowser(), codes.user_code, 'dorothy');
    const answer = (await (await poll(codes.device_code)).json()) as client.TokenEndpointResponse;
    const next = await client.refreshTokenGrant(party, answer.refresh_token ?? '');
    expect((await poll(codes.device_code)).status).toBe(400);
    await expect(client.refreshTokenGrant(party, next.refresh_token ?? '')).rejects.toMatchObject({
      error: 'invalid_grant',
    });
  });

  it('gives nothing to a device that is refused', async () => {
    const browser = openBrowser();
    const codes = await begin();
    const page = await typeIn(browser, codes.user_code);
    const [form] = formsOf(page);
    const { xsrf = '', user_code: userCode = '' } = form?.fields ?? {};
    const stopped = await browser.post(form?.action ?? '', { xsrf, user_code: userCode, abort: 'yes' });
    expect(stopped.body).toContain('was stopped');
    expect(await (await poll(codes.device_code)).json()).toMatchObject({ error: 'access_denied' });
  });

  it('asks again after a wrong code, at most twenty times', async () => {
    const other = await start({}, { clock: stoppedClock });
    onTestFinished(() => other.stop());
    const browser = openBrowser();
    const page = await browser.get(`${other.issuer}/device`);
    const [form] = formsOf(page);
    const attempt = (): Promise<Visit> =>
      browser.post(form?.action ?? '', { ...form?.fields, user_code: 'BCDF-GHJK' });
    const first = await attempt();
    expect(first.body).toContain('That code is not right');
    const statuses: number[] = [];
    for (let round = 0; round < 21; round += 1) statuses.push((await attempt()).status);
    expect(statuses.at(-1)).toBe(429);
    expect(statuses.filter((status) => status === 429).length).toBeLessThan(4);
  });

  it('refuses code forms of another site, and does not redeem handles of device codes', async () => {
    const browser = openBrowser();
    const codes = await begin();
    const page = await browser.get(`${identity.issuer}/device`);
    const [form] = formsOf(page);
    const fields = { ...form?.fields, user_code: codes.user_code };
    const foreign = await browser.post(form?.action ?? '', fields, { origin: 'http://evil.example' });
    expect(foreign.status).toBe(403);
    const digest = await crypto.subtle.digest('SHA-256', Buffer.from(`DeviceCode:${codes.device_code}`));
    const handle = `#${Buffer.from(digest).toString('hex')}`;
    expect(await (await poll(handle)).json()).toMatchObject({ error: 'invalid_grant' });
  });
});

onEachDatabase('a third-party client', ({ start }) => {
  let identity: TestIdentity;

  beforeAll(async () => {
    identity = await start();
    await identity.addUser('dorothy');
  });
  afterAll(() => identity.stop());

  const partner = { clientId: 'partner', redirect: 'http://127.0.0.1:3002/cb' };

  it('gets what the user allows, without asking again in that session', async () => {
    const browser = openBrowser();
    const begun = await authorization(identity, partner);
    const page = await openLoginPage(identity, browser, begun.url);
    const consent = await submitLogin(identity, browser, page, 'dorothy');
    expect(consent.body).toContain('Allow access?');
    expect(consent.body).toContain('Partner &lt;b&gt;');
    expect(consent.body).toContain('use read at orders');
    expect(consent.body).toContain('see your user name');
    const [form] = formsOf(consent);
    const left = await browser.follow(await browser.post(form?.action ?? '', {}), identity.issuer);
    const tokens = await exchange(begun, left);
    expect(payloadOf(tokens.access)).toMatchObject({ client_id: 'partner', scope: 'read' });
    const again = await authorization(identity, partner);
    expect((await openLoginPage(identity, browser, again.url)).location).toContain('code=');
    const wider = await authorization(identity, { ...partner, more: { scope: 'openid read write' } });
    const asked = await openLoginPage(identity, browser, wider.url);
    expect(asked.body).toContain('use write at orders');
    expect(asked.body).not.toContain('use read at orders');
  });

  it('gets nothing when the user refuses', async () => {
    const browser = openBrowser();
    const begun = await authorization(identity, partner);
    const page = await openLoginPage(identity, browser, begun.url);
    const consent = await submitLogin(identity, browser, page, 'dorothy');
    const [, cancel] = formsOf(consent);
    const left = await browser.follow(await browser.post(cancel?.action ?? '', {}), identity.issuer);
    expect(new URL(left.location ?? '').searchParams.get('error')).toBe('access_denied');
  });
});

onEachDatabase('limits', ({ start }) => {
  it('end the least recently used session when an account has too many', async () => {
    const identity = await start({ limits: { sessionsPerAccount: 3 } });
    onTestFinished(() => identity.stop());
    await identity.addUser('dorothy');
    await identity.addUser('other');
    const elsewhere = await login(identity, 'other');
    const sessions = [await login(identity, 'dorothy'), await login(identity, 'dorothy')];
    // The first is used again: now the second is the one unused for longest.
    sessions[0] = await refresh(identity, sessions[0] ?? elsewhere);
    sessions.push(await login(identity, 'dorothy'), await login(identity, 'dorothy'));
    const outcomes = await Promise.allSettled(sessions.map((one) => refresh(identity, one)));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
    expect(identity.logged()).toContain('"reason":"crowded"');
    expect((await refresh(identity, elsewhere)).session).toBe(elsewhere.session);
  });

  it('stop a visitor who begins too many logins, and no one else', async () => {
    const identity = await start({ trustedProxyHops: 1 }, { clock: stoppedClock });
    onTestFinished(() => identity.stop());
    const { url } = await authorization(identity);
    const visit = async (address: string): Promise<number> => {
      const answer = await fetch(url, { redirect: 'manual', headers: { 'x-forwarded-for': address } });
      await answer.arrayBuffer();
      return answer.status;
    };
    const statuses: number[] = [];
    for (let round = 0; round < 32; round += 1)
      statuses.push(...(await Promise.all(Array.from({ length: 10 }, () => visit('192.0.2.1')))));
    expect(statuses.slice(0, 300).every((status) => status === 303)).toBe(true);
    expect(statuses).toContain(429);
    expect(await visit('192.0.2.2')).toBe(303);
    await identity.addUser('dorothy');
    expect((await login(identity, 'dorothy', { password })).session).not.toBe('');
  });

  it.each(['/Session/end/', '/device'])(
    'stop a visitor who opens %s again and again, each time as another browser',
    async (path) => {
      const identity = await start({}, { clock: stoppedClock });
      onTestFinished(() => identity.stop());
      const visit = async (): Promise<number> => {
        const answer = await fetch(`${identity.issuer}${path}`, { headers: { accept: 'text/html' } });
        await answer.arrayBuffer();
        return answer.status;
      };
      const statuses: number[] = [];
      for (let round = 0; round < 31; round += 1)
        statuses.push(...(await Promise.all(Array.from({ length: 10 }, visit))));
      expect(statuses.slice(0, 300).every((status) => status === 200)).toBe(true);
      expect(statuses.slice(300)).toEqual(Array.from({ length: 10 }, () => 429));
    },
  );
});
