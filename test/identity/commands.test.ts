import { sql } from 'kysely';
import { generateKeyPairSync } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { calculateJwkThumbprint, createRemoteJWKSet, jwtVerify } from 'jose';
import { disableUser } from '../../src/identity/operator/account-commands.ts';
import { importKey, listKeys, revokeKey, rotateKeys } from '../../src/identity/operator/key-commands.ts';
import { listAudit, revoke } from '../../src/identity/operator/session-commands.ts';
import { neverPrinted } from '../output.ts';
import { eventually } from '../processes.ts';
import { startRedis, type RedisServer } from '../redis/redis-server.ts';
import { onEachDatabase, query } from './databases.ts';
import { authorization, headerOf, logInBrowser, login, openLoginPage, payloadOf, refresh } from './flows.ts';
import type { TestIdentity } from './identity-server.ts';

const invalidGrant = expect.objectContaining({ error: 'invalid_grant' });

type Event = { kind: string; target: string; reason: string; published_seq: number | null };

onEachDatabase('a command beside a running identity', ({ start }) => {
  let redis: RedisServer;
  let identity: TestIdentity;

  let logs = 0;

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    logs += 1;
    identity = await start({ redis: { url: redis.url }, revocation: { log: `commands-${logs}` } });
    await identity.addUser('rosa');
  });
  afterEach(() => identity.stop());

  const events = (): Promise<Event[]> =>
    query(
      identity,
      sql<Event>`select kind, target, reason, published_seq from revocation_outbox order by id`,
    );
  const audit = async (): Promise<unknown[]> =>
    (await listAudit(identity.config, 10)).map(({ action, target, details }) => [action, target, details]);

  it('revokes a browser session with its login and returns its sequence number', async () => {
    const { tokens, browser } = await logInBrowser(identity, 'rosa');
    const second = await logInBrowser(identity, 'rosa', {
      browser,
      clientId: 'other',
      redirect: 'http://127.0.0.1:3001/cb',
    });
    const elsewhere = await login(identity, 'rosa');
    const revocation = await revoke(identity.config, { kind: 'session', id: tokens.session });
    expect(revocation).toMatchObject({ isPublished: true, seq: expect.any(Number) });
    const [first, next] = await events();
    expect(new Set([first?.target, next?.target])).toEqual(new Set([tokens.session, second.tokens.session]));
    expect(Math.max(first?.published_seq ?? 0, next?.published_seq ?? 0)).toBe(revocation.seq);
    await expect(refresh(identity, tokens, 'web')).rejects.toEqual(invalidGrant);
    await expect(refresh(identity, second.tokens, 'other')).rejects.toEqual(invalidGrant);
    const again = await openLoginPage(identity, browser, (await authorization(identity)).url);
    expect(again.body).toContain('name="password"');
    expect((await refresh(identity, elsewhere)).session).toBe(elsewhere.session);
    expect(await audit()).toContainEqual([
      'revoke.session',
      tokens.session,
      { sessions: 2, reason: 'operator', subject: payloadOf(tokens.access)['sub'] },
    ]);
  });

  it("revokes the account with this id even if it is another account's user name", async () => {
    const subject = String(payloadOf((await login(identity, 'rosa')).access)['sub']);
    const namesake = await identity.addUser(subject);
    const other = await login(identity, subject);
    await revoke(identity.config, { kind: 'subject', id: subject });
    expect(await events()).toMatchObject([{ kind: 'subject', target: subject }]);
    expect((await refresh(identity, other)).session).toBe(other.session);
    expect(payloadOf(other.access)['sub']).toBe(namesake);
  });

  it('revokes a user by name: all sessions, browser logins, and every token issued until now', async () => {
    const { tokens, browser } = await logInBrowser(identity, 'rosa');
    const device = await login(identity, 'rosa');
    const subject = String(payloadOf(tokens.access)['sub']);
    const order = { reason: 'lost_laptop' };
    const revocation = await revoke(identity.config, { kind: 'subject', id: 'Rosa' }, order);
    expect(revocation.removed).toHaveLength(2);
    expect(await events()).toMatchObject([{ kind: 'subject', target: subject, reason: 'lost_laptop' }]);
    for (const [one, client] of [
      [tokens, 'web'],
      [device, 'cli'],
    ] as const)
      await expect(refresh(identity, one, client)).rejects.toEqual(invalidGrant);
    const again = await openLoginPage(identity, browser, (await authorization(identity)).url);
    expect(again.body).toContain('name="password"');
    expect((await login(identity, 'rosa')).session).not.toBe('');
  });

  it('revokes one client and no other', async () => {
    const { tokens } = await logInBrowser(identity, 'rosa');
    const device = await login(identity, 'rosa');
    await revoke(identity.config, { kind: 'client', id: 'cli' });
    expect(await events()).toMatchObject([{ kind: 'client', target: 'cli' }]);
    await expect(refresh(identity, device)).rejects.toEqual(invalidGrant);
    expect((await refresh(identity, tokens, 'web')).session).toBe(tokens.session);
  });

  it('revokes one token and leaves its session', async () => {
    const device = await login(identity, 'rosa');
    const id = String(payloadOf(device.access)['jti']);
    await revoke(identity.config, { kind: 'token', id });
    expect(await events()).toMatchObject([{ kind: 'token', target: id }]);
    expect((await refresh(identity, device)).session).toBe(device.session);
  });

  it('revokes everything', async () => {
    await identity.addUser('emmy');
    const [rosa, emmy] = [await login(identity, 'rosa'), await login(identity, 'emmy')];
    const revocation = await revoke(identity.config, { kind: 'everything' });
    expect(revocation.removed).toHaveLength(2);
    expect(await events()).toMatchObject([{ kind: 'issuer', target: identity.issuer }]);
    await expect(refresh(identity, rosa)).rejects.toEqual(invalidGrant);
    await expect(refresh(identity, emmy)).rejects.toEqual(invalidGrant);
    expect((await login(identity, 'emmy')).session).not.toBe('');
  });

  it('revokes what was issued before a time: younger sessions continue, older ones end', async () => {
    const old = await login(identity, 'rosa');
    const second = Math.floor(Date.now() / 1000) + 1;
    await eventually('a second later', () => (Date.now() >= second * 1000 ? true : undefined));
    const young = await login(identity, 'rosa');
    const order = { issuedBefore: second };
    await revoke(identity.config, { kind: 'subject', id: 'rosa' }, order);
    expect((await events()).map(({ kind, target }) => [kind, target])).toEqual([
      ['session', old.session],
      ['subject', payloadOf(old.access)['sub']],
    ]);
    await expect(refresh(identity, old)).rejects.toEqual(invalidGrant);
    expect((await refresh(identity, young)).session).toBe(young.session);
    const tomorrow = { issuedBefore: Date.now() / 1000 + 86_400 };
    await expect(revoke(identity.config, { kind: 'everything' }, tomorrow)).rejects.toMatchObject({
      code: 'ERR_USAGE',
    });
  });

  it('refuses an invalid reason and then ends nothing', async () => {
    const tokens = await login(identity, 'rosa');
    const order = { reason: 'Because I say so' };
    await expect(
      revoke(identity.config, { kind: 'session', id: tokens.session }, order),
    ).rejects.toMatchObject({ code: 'ERR_REVOCATION_INVALID' });
    expect((await refresh(identity, tokens)).session).toBe(tokens.session);
    expect(await audit()).toEqual([['user.add', expect.any(String), {}]]);
  });

  it('adds a key that is published and does not yet sign', async () => {
    const before = await login(identity, 'rosa');
    const id = await rotateKeys(identity.config);
    const keys = await listKeys(identity.config);
    expect(keys.map(({ state }) => state)).toEqual(['signing', 'next']);
    expect(keys[1]?.id).toBe(id);
    await eventually('published', async () =>
      (await (await fetch(`${identity.issuer}/jwks`)).text()).includes(id) ? true : undefined,
    );
    const after = await refresh(identity, before);
    expect(headerOf(after.access)['kid']).toBe(headerOf(before.access)['kid']);
  });

  it("imports an operator's key, and refuses keys that it can't sign with", async () => {
    const pem = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    const text = pem.export({ format: 'pem', type: 'pkcs8' }).toString();
    neverPrinted(text.split('\n')[5] ?? '');
    const added = { kind: 'added', id: 'ours-2026' };
    expect(await importKey(identity.config, text, 'ours-2026')).toEqual(added);
    const again = { kind: 'refused', id: 'ours-2026', why: 'exists' };
    expect(await importKey(identity.config, text, 'ours-2026')).toEqual(again);
    expect(await listKeys(identity.config)).toMatchObject([
      { state: 'signing' },
      { id: 'ours-2026', state: 'next' },
    ]);
    await eventually('published', async () =>
      (await (await fetch(`${identity.issuer}/jwks`)).text()).includes('ours-2026') ? true : undefined,
    );
    expect(await audit()).toContainEqual(['key.import', 'ours-2026', {}]);
    const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
    const good = pem.export({ format: 'jwk' });
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
    const wrong = [
      JSON.stringify(curve),
      small.export({ format: 'pem', type: 'pkcs8' }).toString(),
      JSON.stringify({ ...good, alg: 'RS512' }),
      JSON.stringify({ ...good, use: 'enc' }),
      JSON.stringify({ ...good, kid: 'with a space' }),
      // Parts of two keys.
      JSON.stringify({ ...good, n: other.n }),
      JSON.stringify({ kty: good.kty, n: good.n, e: good.e }),
      '{}',
      'key',
    ];
    for (const one of wrong)
      await expect(importKey(identity.config, one)).rejects.toMatchObject({ code: 'ERR_USAGE' });
    expect(await listKeys(identity.config)).toHaveLength(2);
  });

  it('refuses to import a revoked key under any name', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const text = JSON.stringify(privateKey.export({ format: 'jwk' }));
    neverPrinted(String(privateKey.export({ format: 'jwk' }).d));
    const { id } = await importKey(identity.config, text);
    expect(id).toMatch(/^[\w-]{43}$/);
    await revokeKey(identity.config, id, 'leaked');
    const refused = { kind: 'refused', why: 'revoked' };
    expect(await importKey(identity.config, text)).toEqual({ ...refused, id });
    expect(await importKey(identity.config, text, 'fresh')).toEqual({ ...refused, id: 'fresh' });
  });

  it('revokes a key by its thumbprint, together with stored copies of the same key', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const text = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    neverPrinted(text.split('\n')[5] ?? '');
    const thumbprint = await calculateJwkThumbprint(publicKey.export({ format: 'jwk' }));
    await importKey(identity.config, text, 'spring');
    await importKey(identity.config, text, 'summer');
    expect(await revokeKey(identity.config, 'spring', 'leaked')).toMatchObject({ isKnown: true });
    const targets = (await events()).map(({ kind, target, reason }) => [kind, target, reason]);
    expect(targets[0]).toEqual(['key', 'spring', 'leaked']);
    expect(targets).toHaveLength(3);
    for (const name of ['summer', thumbprint]) expect(targets).toContainEqual(['key', name, 'leaked']);
    expect(await listKeys(identity.config)).toMatchObject([{ state: 'signing' }]);
    const again = { kind: 'refused', id: 'autumn', why: 'revoked' };
    expect(await importKey(identity.config, text, 'autumn')).toEqual(again);
  });

  it('revokes a stored key that is named by its thumbprint', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const text = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    neverPrinted(text.split('\n')[5] ?? '');
    const thumbprint = await calculateJwkThumbprint(publicKey.export({ format: 'jwk' }));
    await importKey(identity.config, text, 'winter');
    expect(await revokeKey(identity.config, thumbprint)).toMatchObject({ isKnown: true });
    expect(await listKeys(identity.config)).toMatchObject([{ state: 'signing' }]);
  });

  it('filters the audit log by user, client and time', async () => {
    const id = String(payloadOf((await login(identity, 'rosa')).access)['sub']);
    await identity.addUser('emmy');
    const emmy = await login(identity, 'emmy');
    const { tokens } = await logInBrowser(identity, 'rosa');
    await revoke(identity.config, { kind: 'session', id: tokens.session });
    await revoke(identity.config, { kind: 'session', id: emmy.session });
    await revoke(identity.config, { kind: 'subject', id: 'rosa' });
    await revoke(identity.config, { kind: 'client', id: 'other' });
    const found = async (filter: Parameters<typeof listAudit>[2], limit = 10): Promise<unknown[]> =>
      (await listAudit(identity.config, limit, filter)).map(({ action, target }) => [action, target]);
    const session = ['revoke.session', tokens.session];
    const rosas = [['revoke.subject', id], session, ['user.add', id]];
    expect(await found({ user: 'Rosa' })).toEqual(rosas);
    expect(await found({ user: 'rosa' }, 1)).toEqual(rosas.slice(0, 1));
    expect(await found({ user: 'nobody' })).toEqual([]);
    expect(await found({ client: 'web' })).toEqual([session]);
    expect(await found({ client: 'other' })).toEqual([['revoke.client', 'other']]);
    expect(await found({ user: 'rosa', client: 'web' })).toEqual([session]);
    expect(await found({ client: '%' })).toEqual([]);
    expect(await found({ sinceMs: Date.now() + 60_000 })).toEqual([]);
    expect(await found({ user: 'rosa', sinceMs: 0 })).toEqual(rosas);
  });

  it('revokes a key permanently; another one signs at once, and sessions continue', async () => {
    const before = await login(identity, 'rosa');
    const kid = String(headerOf(before.access)['kid']);
    const revocation = await revokeKey(identity.config, kid, 'leaked');
    expect(revocation).toMatchObject({ isKnown: true, isPublished: true, removed: [] });
    expect(await events()).toMatchObject([{ kind: 'key', target: kid, reason: 'leaked' }]);
    expect(await query(identity, sql`select target from revocation_standing_keys`)).toEqual([
      { target: kid },
    ]);
    expect(await listKeys(identity.config)).toMatchObject([{ state: 'signing' }]);
    await eventually('another key', async () =>
      (await (await fetch(`${identity.issuer}/jwks`)).text()).includes(kid) ? undefined : true,
    );
    const after = await refresh(identity, before);
    expect(after.session).toBe(before.session);
    expect(headerOf(after.access)['kid']).not.toBe(kid);
    const jwks = createRemoteJWKSet(new URL(`${identity.issuer}/jwks`));
    await jwtVerify(after.access, jwks);
    await expect(jwtVerify(before.access, jwks)).rejects.toThrow('no applicable key');
    expect(await revokeKey(identity.config, 'of-someone-else')).toMatchObject({ isKnown: false });
  });

  it('is recorded with the login name that ran it', async () => {
    await disableUser(identity.config, 'rosa');
    const [last, first] = await listAudit(identity.config, 10);
    expect(first).toMatchObject({ action: 'user.add', actor: { kind: 'operator' } });
    expect(first?.actor.id).toMatch(/^\S+@\S+$/);
    expect(last).toMatchObject({ action: 'user.disable', details: { sessions: 0, reason: 'disabled' } });
  });
});
