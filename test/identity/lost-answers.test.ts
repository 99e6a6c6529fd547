import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { purgeExpired } from '../../src/identity/store/purge.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { neverPrinted } from '../output.ts';
import { openBrowser, formsOf, type Browser } from './browser.ts';
import { contents, onEachDatabase, openTestDatabase, query } from './databases.ts';
import { authorization, openLoginPage, payloadOf, submitLogin } from './flows.ts';
import {
  clients,
  deviceGrantType,
  loginGrantType,
  password,
  webRedirect,
  type TestIdentity,
} from './identity-server.ts';

type Answer = { status: number; access: string; refresh: string; error: string | undefined };

const secondMs = 1000;
const graceMs = 30 * secondMs;

onEachDatabase('a token request that is sent again', ({ start }) => {
  let startedMs = 0;
  let aheadMs = 0;
  let identity: TestIdentity;

  const clock = { ...systemClock, nowMs: () => startedMs + aheadMs };
  const more = [
    ...clients,
    { client_id: 'viewer', token_endpoint_auth_method: 'none', redirect_uris: [webRedirect] },
    { client_id: 'tv', token_endpoint_auth_method: 'none', grant_types: [deviceGrantType, 'refresh_token'] },
    { client_id: 'box', token_endpoint_auth_method: 'none', grant_types: [deviceGrantType] },
    {
      client_id: 'cli-2',
      token_endpoint_auth_method: 'none',
      grant_types: [loginGrantType, 'refresh_token'],
    },
  ];

  async function begin(tokens: object = {}): Promise<void> {
    [startedMs, aheadMs] = [Date.now(), 0];
    identity = await start({ clients: more, tokens }, { clock });
    await identity.addUser('mina');
  }
  beforeEach(() => begin());
  afterEach(() => identity.stop());

  async function ask(fields: Record<string, string>, agent = 'app/1'): Promise<Answer> {
    const answer = await fetch(`${identity.issuer}/token`, {
      method: 'POST',
      headers: { 'user-agent': agent },
      body: new URLSearchParams(fields),
    });
    const body = (await answer.json()) as Record<string, string | undefined>;
    const { access_token: access = '', refresh_token: next = '', error } = body;
    neverPrinted(...[access, next].filter((text) => text !== ''));
    return { status: answer.status, access, refresh: next, error };
  }

  const logIn = (): Promise<Answer> =>
    ask({ grant_type: loginGrantType, client_id: 'cli', username: 'mina', password });
  const refresh = (token: string, agent?: string, clientId = 'cli'): Promise<Answer> =>
    ask({ grant_type: 'refresh_token', client_id: clientId, refresh_token: token }, agent);
  const sessionOf = ({ access }: Answer): unknown => payloadOf(access)['grant_id'];
  const refused = { status: 400, error: 'invalid_grant' };

  async function unusedTokens(): Promise<number> {
    const rows = await query(
      identity,
      sql`select 1 as one from identity_tokens where kind = 'RefreshToken' and consumed_at_ms is null`,
    );
    return rows.length;
  }

  const everything = (): Promise<string> => contents(identity);

  describe('with a refresh token', () => {
    it('gets the same successor, also from another address of the same client', async () => {
      const { refresh: token } = await logIn();
      const lost = await refresh(token);
      aheadMs += graceMs - secondMs;
      const again = await refresh(token, 'app/2');
      expect(again).toMatchObject({ status: 200, refresh: lost.refresh });
      expect(sessionOf(again)).toBe(sessionOf(lost));
      expect(payloadOf(again.access)['jti']).not.toBe(payloadOf(lost.access)['jti']);
      expect(await refresh(again.refresh)).toMatchObject({ status: 200 });
      expect(await identity.metric('curfew_refresh_reuse_total')).toBe(0);
    });

    it('extends nothing, and writes only that it was repeated', async () => {
      // PostgreSQL moves a row that it updates.
      const unmarked = async (): Promise<string[]> => {
        const text = (await everything()).replaceAll(
          /"repeated_at_ms":(?:null|\d+)/g,
          '"repeated_at_ms":null',
        );
        const rows = (JSON.parse(text) as unknown[][]).flat();
        return rows.map((row) => JSON.stringify(row)).toSorted();
      };
      const { refresh: token } = await logIn();
      await refresh(token);
      const before = await unmarked();
      aheadMs += graceMs / 2;
      await refresh(token);
      await refresh(token, 'app/2');
      expect(await unmarked()).toEqual(before);
    });

    it('gets the same successor in fifty concurrent responses', async () => {
      const { refresh: token } = await logIn();
      const answers = await Promise.all(Array.from({ length: 50 }, () => refresh(token)));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      const successors = new Set(answers.map((answer) => answer.refresh));
      expect(successors.size).toBe(1);
      expect(await unusedTokens()).toBe(1);
      expect(await refresh([...successors][0] ?? '')).toMatchObject({ status: 200 });
    });

    it('ends the session thirty seconds after the first request', async () => {
      const { refresh: token } = await logIn();
      const next = await refresh(token);
      aheadMs += graceMs - secondMs;
      expect(await refresh(token)).toMatchObject({ status: 200 });
      aheadMs += secondMs;
      expect(await refresh(token)).toMatchObject(refused);
      expect(await refresh(next.refresh)).toMatchObject(refused);
      expect(await identity.metric('curfew_refresh_reuse_total')).toBe(1);
    });

    it('ends the session once the successor was used', async () => {
      const { refresh: token } = await logIn();
      const next = await refresh(token);
      const newest = await refresh(next.refresh);
      expect(await refresh(token, 'app/2')).toMatchObject(refused);
      expect(await refresh(newest.refresh)).toMatchObject(refused);
    });

    it('gets nothing for another client, and the session continues', async () => {
      const { refresh: token } = await logIn();
      const next = await refresh(token);
      for (const other of ['cli-2', 'web'])
        expect(await refresh(token, undefined, other)).toMatchObject(refused);
      expect(await refresh(next.refresh)).toMatchObject({ status: 200 });
    });

    it.each([
      ['was logged out', (token: string) => ({ token })],
      ['was logged out with the token that had been used', (_: string, used: string) => ({ token: used })],
    ])('gets nothing for a session that %s', async (_, fields) => {
      const { refresh: token } = await logIn();
      const next = await refresh(token);
      const body = new URLSearchParams({ client_id: 'cli', ...fields(next.refresh, token) });
      await fetch(`${identity.issuer}/token/revocation`, { method: 'POST', body });
      expect(await refresh(token)).toMatchObject(refused);
    });

    it('gets nothing if the successor was not stored, as before an upgrade', async () => {
      const { refresh: token } = await logIn();
      const next = await refresh(token);
      await query(identity, sql`update identity_tokens set sealed_successor = null`);
      expect(await refresh(token, 'app/2')).toMatchObject(refused);
      expect(await refresh(next.refresh)).toMatchObject(refused);
    });

    it('leaves no readable token in the database, and deletes the encrypted successor after the grace period', async () => {
      const sealed = (): Promise<object[]> =>
        query(identity, sql`select 1 as one from identity_tokens where sealed_successor is not null`);
      const { refresh: token } = await logIn();
      const next = await refresh(token);
      expect(await sealed()).toHaveLength(1);
      const random = next.refresh.split('.')[0] ?? '';
      expect(await everything()).not.toContain(random);
      await refresh(next.refresh);
      expect(await sealed()).toHaveLength(1);
      const database = openTestDatabaseOf(identity);
      try {
        await purgeExpired(database, startedMs + 5 * 60 * secondMs);
        expect(await sealed()).toHaveLength(1);
        await purgeExpired(database, startedMs + 5 * 60 * secondMs + 1);
        expect(await sealed()).toHaveLength(0);
      } finally {
        await database.close();
      }
    });

    it('is counted and logged, with whether the same caller asked', async () => {
      const { refresh: token } = await logIn();
      await refresh(token);
      await refresh(token);
      await refresh(token, 'app/2');
      const name = 'curfew_token_repeats_total';
      expect(await identity.metric(`${name}{grant="refresh_token",caller="same"}`)).toBe(1);
      expect(await identity.metric(`${name}{grant="refresh_token",caller="other"}`)).toBe(1);
      expect(identity.logged()).toContain('token request repeated');
    });
  });

  describe('where `refreshGrace` is 0s', () => {
    beforeEach(async () => {
      await identity.stop();
      await begin({ refreshGrace: '0s' });
    });

    it('ends the session at once', async () => {
      const { refresh: token } = await logIn();
      const next = await refresh(token);
      expect(await refresh(token, 'app/2')).toMatchObject(refused);
      expect(await refresh(next.refresh)).toMatchObject(refused);
    });

    it('stores no successor', async () => {
      const { refresh: token } = await logIn();
      await refresh(token);
      const sealed = sql`select 1 as one from identity_tokens where sealed_successor is not null`;
      expect(await query(identity, sealed)).toHaveLength(0);
    });

    it('ends the session with a code, too', async () => {
      const redeem = await obtainCode('web');
      const first = await redeem();
      expect(await redeem()).toMatchObject(refused);
      expect(await refresh(first.refresh, undefined, 'web')).toMatchObject(refused);
    });
  });

  /** A log-in at the client. @returns what sends its code */
  async function obtainCode(
    clientId: string,
    browser: Browser = openBrowser(),
  ): Promise<(change?: Record<string, string>) => Promise<Answer>> {
    const begun = await authorization(identity, { clientId });
    const page = await openLoginPage(identity, browser, begun.url);
    const left = page.location === undefined ? await submitLogin(identity, browser, page, 'mina') : page;
    const code = new URL(left.location ?? '').searchParams.get('code') ?? '';
    neverPrinted(code);
    return (change = {}) =>
      ask({
        grant_type: 'authorization_code',
        client_id: clientId,
        code,
        redirect_uri: webRedirect,
        code_verifier: begun.verifier,
        ...change,
      });
  }

  /** A device that a person allowed. @returns what polls for its tokens */
  async function allowDevice(clientId: string): Promise<() => Promise<Answer>> {
    const asked = await fetch(`${identity.issuer}/device/auth`, {
      method: 'POST',
      body: new URLSearchParams({ client_id: clientId, scope: 'read' }),
    });
    const codes = (await asked.json()) as { device_code: string; user_code: string };
    neverPrinted(codes.device_code);
    const browser = openBrowser();
    let page = await browser.get(`${identity.issuer}/device`);
    for (const more of [{}, { confirm: 'yes' }]) {
      const [form] = formsOf(page);
      const fields = { ...form?.fields, user_code: codes.user_code, ...more };
      page = await browser.follow(await browser.post(form?.action ?? '', fields), identity.issuer);
    }
    await submitLogin(identity, browser, page, 'mina');
    return () => ask({ grant_type: deviceGrantType, client_id: clientId, device_code: codes.device_code });
  }

  describe.each([
    ['with a code', 'web', 'viewer', obtainCode],
    ['with a device code', 'tv', 'box', allowDevice],
  ])('%s', (_, clientId, withoutRefresh, obtain) => {
    it('gets the same refresh token, and the session goes on', async () => {
      const redeem = await obtain(clientId);
      const both = [...(await Promise.all([redeem(), redeem(), redeem()])), await redeem()];
      expect(both.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      expect(new Set(both.map((answer) => answer.refresh)).size).toBe(1);
      expect(new Set(both.map(sessionOf)).size).toBe(1);
      expect(await unusedTokens()).toBe(1);
      expect(await refresh(both[0]?.refresh ?? '', undefined, clientId)).toMatchObject({ status: 200 });
    });

    it('ends the session after thirty seconds', async () => {
      const redeem = await obtain(clientId);
      const first = await redeem();
      aheadMs += graceMs;
      expect(await redeem()).toMatchObject(refused);
      expect(await refresh(first.refresh, undefined, clientId)).toMatchObject(refused);
    });

    it('ends the session once the refresh token was used', async () => {
      const redeem = await obtain(clientId);
      const next = await refresh((await redeem()).refresh, undefined, clientId);
      expect(await redeem()).toMatchObject(refused);
      expect(await refresh(next.refresh, undefined, clientId)).toMatchObject(refused);
    });

    it('gets another access token for thirty seconds if the client has no refresh tokens', async () => {
      const redeem = await obtain(withoutRefresh);
      const both = await Promise.all([redeem(), redeem()]);
      expect(both.map(({ status, refresh: none }) => [status, none])).toEqual([
        [200, ''],
        [200, ''],
      ]);
      expect(new Set(both.map(sessionOf)).size).toBe(1);
      const grants = sql`select 1 as one from identity_grants`;
      expect(await query(identity, grants)).toHaveLength(1);
      aheadMs += graceMs;
      expect(await redeem()).toMatchObject(refused);
      expect(await query(identity, grants)).toHaveLength(0);
    });
  });

  describe('with tokens of two tabs, which share a session', () => {
    const pause = 5 * secondMs;

    it('gets the same successor although the other tab has refreshed', async () => {
      const browser = openBrowser();
      const [one, other] = [await obtainCode('web', browser), await obtainCode('web', browser)];
      const [mine, theirs] = [await one(), await other()];
      expect(sessionOf(theirs)).toBe(sessionOf(mine));
      const lost = await refresh(mine.refresh, undefined, 'web');
      const next = await refresh(theirs.refresh, undefined, 'web');
      aheadMs += pause;
      const again = await refresh(mine.refresh, undefined, 'web');
      expect(again).toMatchObject({ status: 200, refresh: lost.refresh });
      expect(await refresh(next.refresh, undefined, 'web')).toMatchObject({ status: 200 });
    });

    it('gets the same refresh token for a code although the other tab has exchanged its own', async () => {
      const browser = openBrowser();
      const [one, other] = [await obtainCode('web', browser), await obtainCode('web', browser)];
      const lost = await one();
      await other();
      expect(await one()).toMatchObject({ status: 200, refresh: lost.refresh });
    });
  });

  it('gets nothing with a code and another verifier, redirect URI or client', async () => {
    const redeem = await obtainCode('web');
    const first = await redeem();
    for (const change of [
      { code_verifier: 'v'.repeat(43) },
      { redirect_uri: 'http://127.0.0.1:3001/cb' },
      { client_id: 'other' },
    ])
      expect(await redeem(change)).toMatchObject(refused);
    expect(await refresh(first.refresh, undefined, 'web')).toMatchObject({ status: 200 });
  });

  it('does not use up a code that fails for another reason', async () => {
    const redeem = await obtainCode('web');
    expect(await redeem({ resource: 'no-such-resource' })).toMatchObject({ error: 'invalid_target' });
    expect(await redeem()).toMatchObject({ status: 200 });
  });
});

const openTestDatabaseOf = ({ config }: TestIdentity) =>
  'sqlite' in config.database
    ? openTestDatabase(config.database)
    : openTestDatabase({ postgres: { url: config.database.postgres.url.text() } });
