import { afterAll, beforeAll, beforeEach, afterEach, expect, it } from 'vitest';
import * as client from 'openid-client';
import { onEachDatabase } from './databases.ts';
import { changePassword, disableUser, listSessions } from '../../src/identity/operator/account-commands.ts';
import { revoke } from '../../src/identity/operator/session-commands.ts';
import { eventually } from '../processes.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import { formsOf, openBrowser } from './browser.ts';
import { authorization, logInBrowser, login, openLoginPage, payloadOf, refresh } from './flows.ts';
import { password, type TestIdentity } from './identity-server.ts';

const invalidGrant = expect.objectContaining({ error: 'invalid_grant' });

async function published(redis: RedisServer): Promise<string> {
  const epoch = /\r\n(?<epoch>\d+)\r\n/.exec(await redis.command('HGET', '{curfew}:head', 'epoch'));
  return await redis.command('ZRANGE', `{curfew}:log:${epoch?.groups?.['epoch'] ?? ''}`, '0', '-1');
}

const isLeading = async ({ admin }: TestIdentity): Promise<true | undefined> => {
  const answer = (await (await fetch(`${admin}/readyz`)).json()) as {
    parts: { revocation: { role: string } };
  };
  return answer.parts.revocation.role === 'leading' ? true : undefined;
};

onEachDatabase('a revocation, with Redis', ({ start }) => {
  let redis: RedisServer;
  let identity: TestIdentity;

  beforeAll(async () => {
    redis = await startRedis();
    identity = await start({ redis: { url: redis.url } });
    await identity.addUser('alan');
    await eventually('leading', () => isLeading(identity));
  });
  afterAll(async () => {
    await identity.stop();
    await redis.stop();
  });

  it('is in the log before the response to the logout', async () => {
    const party = await identity.relyingParty('cli');
    for (let round = 0; round < 20; round += 1) {
      const tokens = await login(identity, 'alan');
      await client.tokenRevocation(party, tokens.refresh);
      const log = await published(redis);
      expect(log).toContain(`"kind":"session","id":"${tokens.session}"`);
      expect(log).toContain('"reason":"revocation"');
    }
  });

  it('happens at the reuse of a refresh token', async () => {
    const tokens = await login(identity, 'alan');
    await refresh(identity, await refresh(identity, tokens));
    const answer = await fetch(`${identity.issuer}/token`, {
      method: 'POST',
      headers: { 'user-agent': 'somebody else' },
      body: new URLSearchParams({
        grant_type: 'refresh_token',
        client_id: 'cli',
        refresh_token: tokens.refresh,
      }),
    });
    expect(answer.status).toBe(400);
    expect(await published(redis)).toMatch(new RegExp(`"id":"${tokens.session}"[^}]*"reason":"reuse"`));
  });

  it('happens for every session of a browser that logs out', async () => {
    const { tokens, browser } = await logInBrowser(identity, 'alan');
    const second = await logInBrowser(identity, 'alan', {
      browser,
      clientId: 'other',
      redirect: 'http://127.0.0.1:3001/cb',
    });
    const [form] = formsOf(await browser.get(`${identity.issuer}/session/end`));
    await browser.post(form?.action ?? '', { ...form?.fields, logout: 'yes' });
    const log = await published(redis);
    expect(log).toContain(tokens.session);
    expect(log).toContain(second.tokens.session);
  });

  it('can be made beside a running identity, by the id of a session', async () => {
    const tokens = await login(identity, 'alan');
    const revocation = await revoke(identity.config, { kind: 'session', id: tokens.session });
    expect(revocation).toMatchObject({ isPublished: true, removed: [{ clientId: 'cli' }] });
    expect(await published(redis)).toContain(tokens.session);
    await expect(refresh(identity, tokens)).rejects.toEqual(invalidGrant);
  });

  it('can name an unknown session', async () => {
    const revocation = await revoke(identity.config, { kind: 'session', id: 'a-session-of-long-ago' });
    expect(revocation).toMatchObject({ isPublished: true, removed: [] });
    expect(await published(redis)).toContain('a-session-of-long-ago');
  });

  it('ends all sessions and browser logins of an account that gets another password', async () => {
    await identity.addUser('betty');
    const cli = await login(identity, 'betty');
    const { tokens: web, browser } = await logInBrowser(identity, 'betty');
    const begun = openBrowser();
    const page = await openLoginPage(identity, begun, (await authorization(identity)).url);
    // Logged in with the old password, but not yet back at the client.
    const [form] = formsOf(page);
    const resume = await begun.post(form?.action ?? '', { username: 'betty', password });

    const change = await changePassword(identity.config, {
      username: 'Betty',
      password: 'quite another one',
    });
    expect(change).toMatchObject({ isPublished: true });
    expect(change?.removed.map(({ id }) => id).toSorted()).toEqual([cli.session, web.session].toSorted());
    const log = await published(redis);
    for (const { session } of [cli, web]) expect(log).toContain(session);
    await expect(refresh(identity, cli)).rejects.toEqual(invalidGrant);
    await expect(refresh(identity, web, 'web')).rejects.toEqual(invalidGrant);
    await expect(login(identity, 'betty')).rejects.toEqual(invalidGrant);
    expect((await login(identity, 'betty', { password: 'quite another one' })).session).not.toBe('');

    const afresh = await openLoginPage(identity, browser, (await authorization(identity)).url);
    expect(afresh.body).toContain('name="password"');
    const late = await begun.follow(resume, identity.issuer);
    expect(new URL(late.location ?? '').searchParams.get('error')).toBe('access_denied');
    const again = await openLoginPage(identity, begun, (await authorization(identity)).url);
    expect(again.body).toContain('name="password"');
  });

  it('ends all sessions of a disabled account and refuses its logins', async () => {
    await identity.addUser('carol');
    const cli = await login(identity, 'carol');
    expect(payloadOf(cli.access)['sub']).toMatch(/^[0-9a-f-]{36}$/);
    expect(await listSessions(identity.config, 'carol')).toMatchObject([
      { id: cli.session, clientId: 'cli' },
    ]);
    expect(await disableUser(identity.config, 'carol')).toMatchObject({ isPublished: true });
    expect(await listSessions(identity.config, 'carol')).toEqual([]);
    await expect(refresh(identity, cli)).rejects.toEqual(invalidGrant);
    await expect(login(identity, 'carol')).rejects.toEqual(invalidGrant);
  });

  it('does nothing for an unknown user', async () => {
    expect(await disableUser(identity.config, 'nobody')).toBeUndefined();
    expect(await listSessions(identity.config, 'nobody')).toBeUndefined();
    const change = changePassword(identity.config, { username: 'nobody', password: 'long enough' });
    expect(await change).toBeUndefined();
  });
});

onEachDatabase('a revocation, while Redis is down', ({ start }) => {
  let redis: RedisServer;
  let identity: TestIdentity;

  beforeEach(async () => {
    redis = await startRedis();
    identity = await start({ redis: { url: redis.url } });
    await identity.addUser('alan');
    await eventually('leading', () => isLeading(identity));
  });
  afterEach(async () => {
    await identity.stop();
    await redis.stop();
  });

  it('is answered in time, takes effect, and is published when Redis is back', async () => {
    const tokens = await login(identity, 'alan');
    await redis.kill();
    const started = performance.now();
    await client.tokenRevocation(await identity.relyingParty('cli'), tokens.refresh);
    expect(performance.now() - started).toBeLessThan(2000);
    await expect(refresh(identity, tokens)).rejects.toEqual(invalidGrant);
    const more = await login(identity, 'alan');
    expect((await refresh(identity, more)).session).toBe(more.session);
    await redis.start();
    await eventually('published', async () =>
      (await published(redis)).includes(tokens.session) ? true : undefined,
    );
  });

  it('is answered in time also when Redis hangs', async () => {
    const tokens = await login(identity, 'alan');
    redis.freeze();
    const started = performance.now();
    await client.tokenRevocation(await identity.relyingParty('cli'), tokens.refresh);
    expect(performance.now() - started).toBeLessThan(2000);
    redis.thaw();
    await eventually('published', async () =>
      (await published(redis)).includes(tokens.session) ? true : undefined,
    );
  });
});
