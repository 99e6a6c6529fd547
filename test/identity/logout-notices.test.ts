import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createRemoteJWKSet, jwtVerify, type JWTPayload } from 'jose';
import * as client from 'openid-client';
import { createLogoutNotices, type LogoutNotice } from '../../src/identity/session/logout-notices.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { createLog } from '../../src/runtime/log.ts';
import { eventually, freePort } from '../processes.ts';
import { formsOf, type Browser } from './browser.ts';
import { onEachDatabase } from './databases.ts';
import { logInBrowser, payloadOf, refresh } from './flows.ts';
import { gatewaySecret, webRedirect, type TestIdentity } from './identity-server.ts';

onEachDatabase('a client with a back-channel logout URI', ({ start }) => {
  let identity: TestIdentity;
  const subjects: Record<string, string> = {};
  let told: JWTPayload[] = [];
  let loggedBefore = 0;
  let status = 200;

  beforeAll(async () => {
    const port = await freePort();
    const server = createServer((request, response) => {
      text(request).then(
        async (body) => {
          const token = new URLSearchParams(body).get('logout_token') ?? '';
          const keys = createRemoteJWKSet(new URL(`${identity.issuer}/jwks`));
          const options = { audience: 'web', typ: 'logout+jwt', issuer: identity.issuer };
          told.push((await jwtVerify(token, keys, options)).payload);
          response.writeHead(status).end();
        },
        () => response.destroy(),
      );
    });
    server.listen(port, '127.0.0.1');
    const web = {
      client_id: 'web',
      token_endpoint_auth_method: 'none',
      redirect_uris: [webRedirect],
      grant_types: ['authorization_code', 'refresh_token'],
      backchannel_logout_uri: `http://127.0.0.1:${port}/logout`,
    };
    const console = {
      client_id: 'console',
      client_secret: gatewaySecret,
      grant_types: ['client_credentials'],
      admin_scopes: ['sessions:revoke', 'everything:revoke'],
    };
    const deaf = {
      ...web,
      client_id: 'deaf',
      backchannel_logout_uri: `http://127.0.0.1:${await freePort()}/`,
    };
    identity = await start({ clients: [web, console, deaf] });
    for (const name of ['katherine', 'mary']) subjects[name] = await identity.addUser(name);
    return () => server.close();
  });
  afterAll(() => identity.stop());
  beforeEach(() => {
    [told, status, loggedBefore] = [[], 200, logged()];
  });

  const logged = (): number => identity.logged().match(/logout notice (?:sent|failed|dropped)/g)?.length ?? 0;

  async function logIn(
    username = 'katherine',
  ): Promise<Awaited<ReturnType<typeof logInBrowser>> & { sid: unknown }> {
    const { tokens, browser } = await logInBrowser(identity, username);
    return { tokens, browser, sid: payloadOf(tokens.id ?? '')['sid'] };
  }

  /** Waits until we told so many; gives all that were told, also by others than us. */
  async function endings(count: number): Promise<string[]> {
    await eventually(`${count} told`, () => (logged() - loggedBefore >= count ? true : undefined));
    for (const { events } of told)
      expect(events).toEqual({ 'http://schemas.openid.net/event/backchannel-logout': {} });
    return told.map(({ sub, sid }) => `${String(sub)} ${String(sid)}`).toSorted();
  }

  const ofPerson = (username: string, ...sids: unknown[]): string[] =>
    sids.map((sid) => `${subjects[username] ?? ''} ${String(sid)}`).toSorted();

  async function press(browser: Browser, path: string): Promise<number> {
    const page = await browser.get(`${identity.issuer}/account`);
    const form = formsOf(page).find(({ action }) => action.endsWith(path));
    return (await browser.post(form?.action ?? '', form?.fields ?? {})).status;
  }

  async function revokeByApi(body: object): Promise<number> {
    const party = await identity.relyingParty('console', client.ClientSecretBasic(gatewaySecret));
    const parameters = { resource: 'urn:curfew:admin', scope: 'sessions:revoke everything:revoke' };
    const { access_token: token } = await client.clientCredentialsGrant(party, parameters);
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const init = { method: 'POST', headers, body: JSON.stringify(body) };
    return (await fetch(`${identity.issuer}/admin/v1/revocations`, init)).status;
  }

  it('gets the `sid` of its ID token, which stays the same after each refresh', async () => {
    const { tokens, sid } = await logIn();
    expect(sid).toMatch(/^[\w-]{22}$/);
    expect(sid).not.toBe(tokens.session);
    const next = await refresh(identity, tokens, 'web');
    expect(payloadOf(next.id ?? '')['sid']).toBe(sid);
    expect(await revokeByApi({ kind: 'session', id: tokens.session })).toBe(200);
    expect(await endings(1)).toEqual(ofPerson('katherine', sid));
  });

  it('is notified once when the user logs out at the end_session endpoint', async () => {
    const { browser, sid } = await logIn();
    await logIn();
    const [form] = formsOf(await browser.get(`${identity.issuer}/session/end`));
    await browser.post(form?.action ?? '', { ...form?.fields, logout: 'yes' });
    expect(await endings(1)).toEqual(ofPerson('katherine', sid));
  });

  it('is notified of the device that a user logs out, and of no other', async () => {
    const { browser, sid } = await logIn();
    await logIn();
    expect(await press(browser, '/account/logout')).toBe(200);
    expect(await endings(1)).toEqual(ofPerson('katherine', sid));
  });

  it.each([
    ['a person logs out everywhere', (browser: Browser) => press(browser, '/account/logout-everywhere')],
    ['an operator revokes the person', () => revokeByApi({ kind: 'subject', id: 'mary' })],
  ])('is told of each session when %s', async (_, end) => {
    const [one, other] = [await logIn('mary'), await logIn('mary')];
    await logIn();
    expect(await end(one.browser)).toBe(200);
    expect(await endings(2)).toEqual(ofPerson('mary', one.sid, other.sid));
  });

  it('is notified when a refresh token is reused', async () => {
    const { tokens, sid } = await logIn();
    await refresh(identity, await refresh(identity, tokens, 'web'), 'web');
    const thief = { 'user-agent': 'somebody else' };
    const body = { grant_type: 'refresh_token', client_id: 'web', refresh_token: tokens.refresh };
    await fetch(`${identity.issuer}/token`, {
      method: 'POST',
      headers: thief,
      body: new URLSearchParams(body),
    });
    expect(await endings(1)).toEqual(ofPerson('katherine', sid));
  });

  it('is not notified of sessions that it ended itself', async () => {
    const { tokens } = await logIn();
    await client.tokenRevocation(await identity.relyingParty('web'), tokens.refresh);
    const { tokens: others, sid } = await logIn();
    await revokeByApi({ kind: 'session', id: others.session });
    expect(await endings(1)).toEqual(ofPerson('katherine', sid));
  });

  it('does not affect the logout when it fails, and the failure is logged', async () => {
    status = 500;
    const { tokens, sid } = await logIn();
    expect(await revokeByApi({ kind: 'session', id: tokens.session })).toBe(200);
    expect(await endings(1)).toEqual(ofPerson('katherine', sid));
    await expect(refresh(identity, tokens, 'web')).rejects.toMatchObject({ error: 'invalid_grant' });
    expect(identity.logged()).toContain('got: 500');
    const { tokens: unheard } = await logInBrowser(identity, 'katherine', { clientId: 'deaf' });
    expect(await revokeByApi({ kind: 'session', id: unheard.session })).toBe(200);
    await eventually('logged', () => (logged() - loggedBefore === 2 ? true : undefined));
  });
});

describe('logout notices', () => {
  const named = new Map([
    ['web', { isSessionNamed: true }],
    ['shop', { isSessionNamed: true }],
    ['old', { isSessionNamed: false }],
  ]);

  const removed = (count: number, clientId = 'web') =>
    Array.from({ length: count }, (_, index) => ({ id: `g${index}`, accountId: 'a', clientId }));

  function notices(send: (notice: LogoutNotice) => Promise<void>, more: object = {}) {
    let logged = '';
    const log = createLog({
      program: 'test',
      level: 'debug',
      destination: { write: (line) => void (logged += line) },
    });
    let nowMs = 0;
    const clock = { ...systemClock, monotonicMs: () => nowMs };
    const made = createLogoutNotices({ clients: named, send, clock, log, ...more });
    onTestFinished(() => made.stop());
    return { ...made, logged: () => logged, pass: (ms: number) => void (nowMs += ms) };
  }

  it('are sent with bounded concurrency, and dropped beyond the limit', async () => {
    const open: (() => void)[] = [];
    let most = 0;
    let count = 0;
    const { add, stop, logged } = notices(
      () => {
        count += 1;
        const { promise, resolve } = Promise.withResolvers<void>();
        open.push(resolve);
        most = Math.max(most, open.length);
        return promise;
      },
      { maxConcurrent: 3, maxWaiting: 5 },
    );
    add(removed(20));
    expect(logged()).toContain('"count":15');
    const stopped = stop();
    await eventually('all were sent', () => {
      open.shift()?.();
      return count === 5 && open.length === 0 ? true : undefined;
    });
    await stopped;
    expect([most, count]).toEqual([3, 5]);
  });

  it('are suspended for a client that failed three times in a row, but not for others', async () => {
    const asked: string[] = [];
    const tell = ({ clientId }: LogoutNotice): Promise<void> => {
      asked.push(clientId);
      return clientId === 'web' ? Promise.reject(new Error('down')) : Promise.resolve();
    };
    const { add, pass, stop } = notices(tell, { maxConcurrent: 1 });
    add([...removed(10), ...removed(1, 'shop')]);
    await stop();
    expect(asked).toEqual(['web', 'web', 'web', 'shop']);
    pass(30_000);
    add(removed(1));
    await stop();
    expect(asked).toHaveLength(5);
  });

  it('are sent once per subject to a client without session ids, and not to clients without a logout URI', async () => {
    const sent: LogoutNotice[] = [];
    const { add, stop } = notices((notice) => Promise.resolve(void sent.push(notice)));
    add([...removed(3, 'old'), ...removed(2, 'elsewhere')]);
    await stop();
    expect(sent).toEqual([{ clientId: 'old', subject: 'a', sid: undefined }]);
  });

  it('end with the stop, however long a response takes', async () => {
    const { add, stop, logged } = notices(() => new Promise(() => undefined), {
      maxConcurrent: 1,
      lastMs: 1,
    });
    add(removed(3));
    await stop();
    expect(logged()).toContain('"count":2');
  });
});
