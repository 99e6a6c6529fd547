import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import * as client from 'openid-client';
import type { Clock } from '../../src/runtime/clock.ts';
import { eventually } from '../processes.ts';
import { formsOf, openBrowser, type Browser, type Form, type Visit } from './browser.ts';
import { query } from './databases.ts';
import { authorization, exchange, logInBrowser, login, openLoginPage, submitLogin } from './flows.ts';
import type { Authorization, Tokens } from './flows.ts';
import {
  deviceGrantType,
  gatewaySecret,
  loginGrantType,
  password,
  startIdentity,
  type TestIdentity,
} from './identity-server.ts';
import { atLocalhost, openAccount } from './passkey-flows.ts';
import { startPostgresLink, type PostgresLink } from './postgres-link.ts';
import { startPostgres, type PostgresServer } from './postgres-server.ts';

type Sent = { status: number; headers: Headers; body: string };

async function post(
  { issuer }: TestIdentity,
  path: string,
  fields: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Sent> {
  const body = new URLSearchParams(fields);
  const answer = await fetch(`${issuer}${path}`, { method: 'POST', body, headers });
  return { status: answer.status, headers: answer.headers, body: await answer.text() };
}

const refreshFields = ({ refresh }: Tokens, clientId = 'cli') => ({
  grant_type: 'refresh_token',
  client_id: clientId,
  refresh_token: refresh,
});

describe('identity while PostgreSQL is unavailable', () => {
  let postgres: PostgresServer;
  let identity: TestIdentity;
  let tokens: Tokens;
  let browser: Browser;
  let account: Visit;
  let logout: Visit;
  let fresh: { browser: Browser; page: Visit };
  let code: { begun: Authorization; left: Visit };
  let deviceCode: string;
  let admin: string;

  beforeAll(async () => {
    postgres = await startPostgres();
    identity = await startIdentity({
      ...(await atLocalhost()),
      database: { postgres: { url: await postgres.createDatabase() } },
    });
    await identity.addUser('grace');
    tokens = await login(identity, 'grace');
    ({ browser } = await logInBrowser(identity, 'grace'));
    account = await openAccount(identity, browser);
    logout = await browser.get(`${identity.issuer}/session/end`);
    const visitor = openBrowser();
    fresh = {
      browser: visitor,
      page: await openLoginPage(identity, visitor, (await authorization(identity)).url),
    };
    code = await unusedCode(identity);
    const party = await identity.relyingParty('device');
    deviceCode = (await client.initiateDeviceAuthorization(party, { scope: 'read' })).device_code;
    admin = await adminToken(identity);
    await postgres.shutDown();
  }, 60_000);
  afterAll(async () => {
    await identity.stop();
    await postgres.stop();
  });

  /** 503, when to come again, and neither a cookie nor a copy is kept. */
  function expectUnavailable({ status, headers }: Pick<Sent, 'status' | 'headers'>, type: string): void {
    expect(status).toBe(503);
    expect(headers.get('retry-after')).toBe('2');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('content-type')).toContain(type);
    expect(headers.getSetCookie()).toEqual([]);
  }

  it.each<[string, () => Promise<Sent>]>([
    [
      'a login at the token endpoint',
      () =>
        post(identity, '/token', {
          grant_type: loginGrantType,
          client_id: 'cli',
          username: 'grace',
          password,
        }),
    ],
    ['a refresh', () => post(identity, '/token', refreshFields(tokens))],
    ['an authorization code', () => post(identity, '/token', codeFields(code))],
    [
      'a device code',
      () =>
        post(identity, '/token', {
          grant_type: deviceGrantType,
          client_id: 'device',
          device_code: deviceCode,
        }),
    ],
    ['the begin of a device', () => post(identity, '/device/auth', { client_id: 'device' })],
    // RFC 7009 §2.2.1: the client must assume that the token is still good.
    ['a revocation', () => post(identity, '/token/revocation', { client_id: 'cli', token: tokens.refresh })],
    [
      'an introspection',
      () => post(identity, '/token/introspection', { token: tokens.access }, basic('gateway')),
    ],
  ])('answers %s with 503 in OAuth’s form', async (_, send) => {
    const answer = await send();
    expectUnavailable(answer, 'application/json');
    expect(JSON.parse(answer.body)).toEqual({
      error: 'temporarily_unavailable',
      error_description: 'the service is temporarily unavailable, try again later',
    });
  });

  it.each<[string, () => Promise<Visit>]>([
    ['an authorization request', async () => await browser.get((await urlOfLogin()).href)],
    [
      'the form of a login',
      () => send(fresh.browser, formsOf(fresh.page)[0], { username: 'grace', password }),
    ],
    ['the page of the own sessions', () => browser.get(`${identity.issuer}/account`)],
    ['the form that ends a session', () => send(browser, formsOf(account)[0])],
    ['the page of a logout', () => browser.get(`${identity.issuer}/session/end`)],
    ['the form of a logout', () => send(browser, formsOf(logout)[0], { logout: 'yes' })],
    ['the page for a device’s code', () => browser.get(`${identity.issuer}/device`)],
  ])('answers %s with 503 and a page', async (_, visit) => {
    const page = await visit();
    expectUnavailable(page, 'text/html');
    expect(page.body).toContain('is not available at present');
    expect(page.body).not.toContain('database');
  });

  it('answers the challenge of a passkey with 503, for the script', async () => {
    const form = formsOf(fresh.page).find(({ fields }) => 'credential' in fields);
    const answer = await fresh.browser.post(`${form?.action}-challenge`, {});
    expectUnavailable(answer, 'application/json');
    expect(JSON.parse(answer.body)).toEqual({ problem: expect.stringContaining('not available') });
  });

  it('answers the administration API with 503 in its form', async () => {
    const answer = await fetch(`${identity.issuer}/admin/v1/sessions`, {
      headers: { authorization: `Bearer ${admin}` },
    });
    expectUnavailable(answer, 'application/problem+json');
    expect(await answer.json()).toMatchObject({ type: 'about:blank', status: 503 });
  });

  it('still answers what needs no database', async () => {
    for (const path of ['/jwks', '/.well-known/openid-configuration'])
      expect((await fetch(`${identity.issuer}${path}`)).status).toBe(200);
  });

  it('logs the outage once, not for each request', async () => {
    for (let request = 0; request < 12; request += 1)
      await post(identity, '/token', {
        grant_type: loginGrantType,
        client_id: 'cli',
        username: 'grace',
        password,
      });
    const errors = identity
      .logged()
      .split('\n')
      .filter((line) => line.includes('"level":"error"') && !line.includes('ERR_REDIS_UNAVAILABLE'));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain('ERR_DATABASE_UNAVAILABLE');
  });

  // In the order of the file: the last.
  it('continues when PostgreSQL is back: no token is used up, no user is logged out or throttled', async () => {
    await postgres.start();
    const refreshed = await eventually('identity answers again', async () => {
      const answer = await post(identity, '/token', refreshFields(tokens));
      return answer.status === 503 ? undefined : answer;
    });
    expect(refreshed.status).toBe(200);
    expect((await login(identity, 'grace')).refresh).not.toBe('');
    expect((await exchange(code.begun, code.left)).refresh).not.toBe('');
    expect((await openAccount(identity, browser)).body).toContain('Your sessions');
    const left = await submitLogin(identity, fresh.browser, fresh.page, 'grace');
    expect(left.location).toContain('code=');
    expect(identity.logged()).toContain('the database is available again');
  });

  // Discovery needs no database.
  const urlOfLogin = async (): Promise<URL> => (await authorization(identity)).url;

  const send = (visitor: Browser, form: Form | undefined, more: Record<string, string> = {}) =>
    visitor.post(form?.action ?? '', { ...form?.fields, ...more });
});

const basic = (clientId: string) => ({
  authorization: `Basic ${Buffer.from(`${clientId}:${gatewaySecret}`).toString('base64')}`,
});

async function unusedCode(identity: TestIdentity): Promise<{ begun: Authorization; left: Visit }> {
  const visitor = openBrowser();
  const begun = await authorization(identity);
  const page = await openLoginPage(identity, visitor, begun.url);
  return { begun, left: await submitLogin(identity, visitor, page, 'grace') };
}

const codeFields = ({ begun, left }: { begun: Authorization; left: Visit }) => {
  const url = new URL(left.location ?? '');
  return {
    grant_type: 'authorization_code',
    client_id: 'web',
    code: url.searchParams.get('code') ?? '',
    redirect_uri: `${url.origin}${url.pathname}`,
    code_verifier: begun.verifier,
  };
};

async function adminToken(identity: TestIdentity): Promise<string> {
  const party = await identity.relyingParty('console', client.ClientSecretBasic(gatewaySecret));
  const answer = await client.clientCredentialsGrant(party, {
    resource: 'urn:curfew:admin',
    scope: 'sessions:read',
  });
  return answer.access_token;
}

describe("a request that loses PostgreSQL's response", () => {
  let postgres: PostgresServer;

  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(() => postgres.stop());

  let offsetMs = 0;
  const clock: Clock = {
    nowMs: () => Date.now() + offsetMs,
    monotonicMs: () => performance.now() + offsetMs,
  };

  async function stand(): Promise<{ identity: TestIdentity; link: PostgresLink }> {
    const link = await startPostgresLink(postgres.port);
    const url = link.through(await postgres.createDatabase());
    const identity = await startIdentity({ database: { postgres: { url } } }, { clock });
    onTestFinished(() => identity.stop());
    await identity.addUser('grace');
    return { identity, link };
  }

  /** Nothing else may be alive in the session than the token that was answered with. */
  async function expectOneToken(identity: TestIdentity, answer: Sent): Promise<void> {
    expect(answer.status).toBe(200);
    const { access_token: access = '' } = JSON.parse(answer.body) as { access_token?: string };
    const { grant_id: session } = JSON.parse(
      Buffer.from(access.split('.')[1] ?? '', 'base64url').toString(),
    ) as { grant_id?: string };
    const unused = sql`select 1 as one from identity_tokens
      where grant_id = ${session} and kind = 'RefreshToken' and consumed_at_ms is null`;
    expect(await query(identity, unused)).toHaveLength(1);
  }

  it.each([
    ['commit', 'its commit, which the server carried out'],
    ['insert into "identity_tokens"', 'a statement, which was rolled back'],
  ])('at %s: a refresh can be sent again at once', async (statement) => {
    const { identity, link } = await stand();
    const tokens = await login(identity, 'grace');
    const lost = link.loseAnswerTo(statement);
    expect((await post(identity, '/token', refreshFields(tokens))).status).toBe(503);
    await lost;
    await expectOneToken(identity, await post(identity, '/token', refreshFields(tokens)));
  });

  it('a refresh can be sent again after an outage of any length', async () => {
    const { identity, link } = await stand();
    const tokens = await login(identity, 'grace');
    void link.loseAnswerTo('commit').then(() => link.hang());
    expect((await post(identity, '/token', refreshFields(tokens))).status).toBe(503);
    link.cut();
    offsetMs += 10 * 60_000;
    link.resume();
    const again = await eventually('identity answers', async () => {
      const answer = await post(identity, '/token', refreshFields(tokens));
      return answer.status === 503 ? undefined : answer;
    });
    await expectOneToken(identity, again);
  });

  it('undoes a refresh in the background, so that another replica accepts the token', async () => {
    const { identity, link } = await stand();
    const tokens = await login(identity, 'grace');
    void link.loseAnswerTo('commit');
    expect((await post(identity, '/token', refreshFields(tokens))).status).toBe(503);
    await eventually('the token is unused again', async () => {
      const unused = sql`select 1 as one from identity_tokens
        where grant_id = ${tokens.session} and consumed_at_ms is null`;
      const used = sql`select 1 as one from identity_tokens
        where grant_id = ${tokens.session} and consumed_at_ms is not null`;
      const counts = [(await query(identity, unused)).length, (await query(identity, used)).length];
      return counts.join(' ') === '1 0' ? true : undefined;
    });
    await expectOneToken(identity, await post(identity, '/token', refreshFields(tokens)));
  });

  it.each(['commit', 'insert into "identity_tokens"'])(
    'at %s: an authorization code can be sent again, and the other tabs of its browser live on',
    async (statement) => {
      const { identity, link } = await stand();
      const { tokens, browser } = await logInBrowser(identity, 'grace');
      const begun = await authorization(identity);
      const code = { begun, left: await openLoginPage(identity, browser, begun.url) };
      void link.loseAnswerTo(statement);
      expect((await post(identity, '/token', codeFields(code))).status).toBe(503);
      expect((await post(identity, '/token', codeFields(code))).status).toBe(200);
      expect((await post(identity, '/token', refreshFields(tokens, 'web'))).status).toBe(200);
    },
  );

  it.each(['commit', 'insert into "identity_tokens"'])(
    'at %s: a device code can be sent again',
    async (statement) => {
      const { identity, link } = await stand();
      const { browser } = await logInBrowser(identity, 'grace');
      const party = await identity.relyingParty('device');
      const codes = await client.initiateDeviceAuthorization(party, { scope: 'read' });
      const [typed] = formsOf(await browser.get(`${identity.issuer}/device`));
      const page = await browser.post(typed?.action ?? '', { ...typed?.fields, user_code: codes.user_code });
      const [form] = formsOf(page);
      const { xsrf = '', user_code: userCode = '' } = form?.fields ?? {};
      const confirmed = await browser.post(form?.action ?? '', { xsrf, user_code: userCode, confirm: 'yes' });
      const [asked] = formsOf(await browser.follow(confirmed, identity.issuer));
      const allowed = await browser.post(asked?.action ?? '', asked?.fields ?? {});
      await browser.follow(allowed, identity.issuer);
      const fields = {
        grant_type: deviceGrantType,
        client_id: 'device',
        device_code: codes.device_code,
      };
      void link.loseAnswerTo(statement);
      expect((await post(identity, '/token', fields)).status).toBe(503);
      expect((await post(identity, '/token', fields)).status).toBe(200);
    },
  );

  it('a token that was already used stays used: the second use still ends the session', async () => {
    const { identity, link } = await stand();
    const tokens = await login(identity, 'grace');
    const refreshed = await post(identity, '/token', refreshFields(tokens));
    offsetMs += 60_000;
    void link.loseAnswerTo('commit');
    expect((await post(identity, '/token', refreshFields(tokens))).status).toBe(503);
    expect((await post(identity, '/token', refreshFields(tokens))).status).toBe(400);
    const { refresh_token: successor = '' } = JSON.parse(refreshed.body) as { refresh_token?: string };
    expect((await post(identity, '/token', refreshFields({ ...tokens, refresh: successor }))).status).toBe(
      400,
    );
  });
});
