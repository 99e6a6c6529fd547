import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { listSessions } from '../../src/identity/operator/account-commands.ts';
import { createMaterialSealer, generateSigningKey } from '../../src/identity/key/key-material.ts';
import { createSigningKeyRing } from '../../src/identity/key/key-ring.ts';
import { scheduleKeys } from '../../src/identity/key/key-schedule.ts';
import { createKeyStore, type StoredKey } from '../../src/identity/store/key-store.ts';
import { identityMigrations } from '../../src/identity/store/migrations.ts';
import { migrate, openDatabase } from '../../src/database/database.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { createLog } from '../../src/runtime/log.ts';
import { secretFromFile, secretFromText } from '../../src/runtime/secret.ts';
import { temporaryDirectory } from '../temporary.ts';
import { headerOf, login, logInBrowser, payloadOf, refresh } from './flows.ts';
import { startIdentity } from './identity-server.ts';

const periods = { rotateEveryMs: 1000, publishAheadMs: 100, keepMs: 50 };

const keyAt = (createdAtMs: number, algorithm = 'RS256'): StoredKey => ({
  id: `${algorithm}-${createdAtMs}`,
  purpose: 'signature',
  algorithm,
  material: '',
  isSealed: false,
  createdAtMs,
});

describe('the schedule of keys', () => {
  const at = (nowMs: number, ...keys: StoredKey[]) => {
    const { active, published, expired, isDue } = scheduleKeys(keys, 'RS256', nowMs, periods);
    return {
      active: active?.createdAtMs,
      published: published.map(({ id }) => id),
      expired: expired.map(({ id }) => id),
      isDue,
    };
  };

  it('lets the first key sign at once', () => {
    expect(at(0)).toEqual({ active: undefined, published: [], expired: [], isDue: true });
    expect(at(0, keyAt(0))).toEqual({ active: 0, published: ['RS256-0'], expired: [], isDue: false });
  });

  it('adds a successor in time, publishes it before it signs, and keeps the previous key for a while', () => {
    expect(at(999, keyAt(0)).isDue).toBe(false);
    expect(at(1000, keyAt(0)).isDue).toBe(true);
    const both = [keyAt(0), keyAt(1000)];
    expect(at(1099, ...both)).toMatchObject({
      active: 0,
      published: ['RS256-0', 'RS256-1000'],
      isDue: false,
    });
    expect(at(1100, ...both)).toMatchObject({ active: 1000, published: ['RS256-1000', 'RS256-0'] });
    expect(at(1149, ...both)).toMatchObject({ expired: [] });
    expect(at(1150, ...both)).toMatchObject({ published: ['RS256-1000'], expired: ['RS256-0'] });
  });

  it('changes the algorithm at once, and keeps what signed before for a while', () => {
    const keys = [keyAt(0, 'ES256'), keyAt(500)];
    expect(at(549, ...keys)).toMatchObject({ active: 500, published: ['RS256-500', 'ES256-0'] });
    expect(at(550, ...keys)).toMatchObject({ published: ['RS256-500'], expired: ['ES256-0'] });
  });

  it('never drops a key that signs, signed a moment ago, or will sign', () => {
    const times = fc.uniqueArray(fc.integer({ min: 0, max: 5000 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(times, fc.integer({ min: 0, max: 8000 }), (created, sinceMs) => {
        const keys = created.map((time) => keyAt(time));
        const nowMs = Math.max(...created) + sinceMs;
        const now = scheduleKeys(keys, 'RS256', nowMs, periods);
        const dropped = new Set(now.expired.map(({ id }) => id));
        for (let agoMs = 0; agoMs < periods.keepMs; agoMs += 10) {
          const then = nowMs - agoMs;
          const existing = keys.filter((key) => key.createdAtMs <= then);
          const { active } = scheduleKeys(existing, 'RS256', then, periods);
          expect(active === undefined || !dropped.has(active.id)).toBe(true);
        }
        expect(now.published).toHaveLength(keys.length - dropped.size);
        expect(now.published[0]).toBe(now.active);
      }),
    );
  });
});

describe('the key ring', () => {
  async function ring(options: { keyFile?: string; sqlite?: string; algorithm?: 'RS256' | 'ES256' } = {}) {
    const database = openDatabase({ sqlite: options.sqlite ?? ':memory:' });
    await migrate(database, [identityMigrations]);
    let nowMs = 1_000_000;
    const make = (keyFile = options.keyFile) =>
      createSigningKeyRing({
        store: createKeyStore(database),
        sealer: createMaterialSealer(keyFile === undefined ? undefined : secretFromText(keyFile)),
        algorithm: options.algorithm ?? 'ES256',
        periods,
        clock: { nowMs: () => nowMs, monotonicMs: () => nowMs },
        log: createLog({ program: 'test', level: 'silent' }),
      });
    return { make, database, pass: (ms: number): void => void (nowMs += ms) };
  }

  it('generates keys on the first start and loads them on the next', async () => {
    const { make } = await ring();
    const [first, second] = [make(), make()];
    expect(await first.refresh()).toBe(true);
    await second.refresh();
    expect(second.current()).toEqual(first.current());
    expect(first.current().cookieSecrets[0]).toMatch(/^[\w-]{43}$/);
    expect(await first.refresh()).toBe(false);
  });

  it('is the same for replicas that start concurrently', async () => {
    const { make } = await ring();
    const rings = [make(), make(), make()];
    await Promise.all(rings.map((one) => one.refresh()));
    for (const one of rings) await one.refresh();
    expect(new Set(rings.map((one) => one.current().signingKeyId)).size).toBe(1);
    expect(rings[0]?.current().signing).toHaveLength(1);
  });

  it('rotates: both keys published, then the new one signs, then the old one is gone', async () => {
    const { make, pass } = await ring();
    const keys = make();
    await keys.refresh();
    const old = keys.current().signingKeyId;
    pass(1000);
    expect(await keys.refresh()).toBe(true);
    expect(keys.current()).toMatchObject({ signingKeyId: old });
    expect(keys.current().signing).toHaveLength(2);
    pass(100);
    await keys.refresh();
    expect(keys.current().signingKeyId).not.toBe(old);
    expect(keys.current().signing.map(({ kid }) => kid)).toContain(old);
    pass(50);
    await keys.refresh();
    expect(keys.current().signing.map(({ kid }) => kid)).not.toContain(old);
    expect(keys.current().cookieSecrets).toHaveLength(1);
  });

  it('encrypts all keys when it has a key file, including existing ones', async () => {
    const sqlite = join(temporaryDirectory(), 'keys.db');
    const { make, database } = await ring({ sqlite });
    const open = make();
    await open.refresh();
    const d = open.current().signing[0]?.d ?? 'none';
    const keyFile = 'a key of at least thirty-two bytes';
    const sealed = make(keyFile);
    await sealed.refresh();
    expect(sealed.current()).toEqual(open.current());
    const stored = await createKeyStore(database).list();
    expect(stored.every((key) => key.isSealed && !key.material.includes(d))).toBe(true);
    await database.close();
    expect(readFileSync(sqlite).includes(d)).toBe(false);
  });

  it('says which file is missing or wrong', async () => {
    const { make } = await ring();
    await make('a key of at least thirty-two bytes').refresh();
    await expect(make().refresh()).rejects.toMatchObject({ code: 'ERR_SECRET_UNREADABLE' });
    await expect(make('another key of thirty-two bytes or so').refresh()).rejects.toMatchObject({
      code: 'ERR_SECRET_UNREADABLE',
      message: expect.stringContaining('is not the key'),
    });
    expect(() => createMaterialSealer(secretFromText('short'))).toThrow('needs at least 32');
    expect(() => createMaterialSealer(secretFromFile('/no/such/file'))).toThrow('cannot read');
  });

  it.each(['RS256', 'ES256', 'EdDSA'] as const)('makes %s keys named by their thumbprint', async (alg) => {
    const jwk = await generateSigningKey(alg);
    expect(jwk).toMatchObject({ alg, use: 'sig', kid: expect.stringMatching(/^[\w-]{43}$/) });
  });
});

describe('access tokens', () => {
  it.each(['ES256', 'EdDSA'])('are signed with %s by a published key', async (algorithm) => {
    const identity = await startIdentity({ tokens: { algorithm } });
    try {
      await identity.addUser('ida');
      const tokens = await login(identity, 'ida');
      const keys = createRemoteJWKSet(new URL(`${identity.issuer}/jwks`));
      const options = { issuer: identity.issuer, audience: 'orders', typ: 'at+jwt', algorithms: [algorithm] };
      expect((await jwtVerify(tokens.access, keys, options)).payload['grant_id']).toBe(tokens.session);
      const { tokens: web } = await logInBrowser(identity, 'ida');
      expect((await jwtVerify(web.id ?? '', keys, { audience: 'web' })).protectedHeader.alg).toBe(algorithm);
    } finally {
      await identity.stop();
    }
  });

  it('are signed with a shared secret, named by its kid, which no key set shows', async () => {
    const directory = temporaryDirectory();
    const [file, key] = [join(directory, 'secret'), randomBytes(32)];
    writeFileSync(file, `${key.toString('base64url')}\n`);
    const identity = await startIdentity({
      tokens: { algorithm: 'HS256', secret: { file, kid: 'shared-1' } },
    });
    try {
      await identity.addUser('ida');
      const tokens = await login(identity, 'ida');
      expect(headerOf(tokens.access)).toEqual({ alg: 'HS256', typ: 'at+jwt', kid: 'shared-1' });
      const { payload } = await jwtVerify(tokens.access, key, {
        issuer: identity.issuer,
        audience: 'orders',
      });
      expect(payload['grant_id']).toBe(tokens.session);
      expect(headerOf((await refresh(identity, tokens)).access)['alg']).toBe('HS256');
      const { tokens: web } = await logInBrowser(identity, 'ida');
      expect(headerOf(web.access)['alg']).toBe('HS256');
      expect(headerOf(web.id ?? '')['alg']).toBe('RS256');
      const published = await (await fetch(`${identity.issuer}/jwks`)).text();
      expect(published).not.toContain('shared-1');
      expect(published).not.toContain('"oct"');
    } finally {
      await identity.stop();
    }
  });

  it('need a shared secret as long as the hash', async () => {
    const file = join(temporaryDirectory(), 'secret');
    writeFileSync(file, 'c2hvcnQ');
    const start = startIdentity({ tokens: { algorithm: 'HS256', secret: { file, kid: 'shared-1' } } });
    await expect(start).rejects.toMatchObject({ code: 'ERR_SECRET_UNREADABLE' });
  });

  it('are signed by the previous key until its successor is published long enough', async () => {
    const directory = temporaryDirectory();
    const database = { sqlite: join(directory, 'identity.db') };
    const first = await startIdentity({ database }, { directory });
    await first.addUser('ida');
    const before = await login(first, 'ida');
    await first.stop();
    const monthLaterMs = 31 * 24 * 60 * 60 * 1000;
    const clock = { ...systemClock, nowMs: () => Date.now() + monthLaterMs };
    const second = await startIdentity({ database }, { directory, clock });
    const jwks = (await (await fetch(`${second.issuer}/jwks`)).json()) as { keys: { kid: string }[] };
    expect(jwks.keys).toHaveLength(2);
    expect(jwks.keys[0]?.kid).toBe(headerOf(before.access)['kid']);
    const after = await login(second, 'ida');
    expect(headerOf(after.access)['kid']).toBe(headerOf(before.access)['kid']);
    await second.stop();
  });

  it('are dated from the arrival of their request, not from their signing', async () => {
    // Time that moves a second whenever it is looked at: what is read later is later.
    let looks = 0;
    const startMs = Math.floor(Date.now() / 1000) * 1000 - 10_000_000;
    const clock = { ...systemClock, nowMs: () => startMs + 1000 * looks++ };
    const identity = await startIdentity({}, { clock });
    try {
      await identity.addUser('ida');
      let tokens = await login(identity, 'ida');
      for (let round = 0; round < 3; round += 1) {
        const { iat, exp } = payloadOf(tokens.access);
        expect(exp).toBe(Number(iat) + 60);
        const [session] = (await listSessions(identity.config, 'ida')) ?? [];
        expect(Number(iat) * 1000).toBeLessThan(session?.lastUsedAtMs ?? 0);
        tokens = await refresh(identity, tokens);
      }
    } finally {
      await identity.stop();
    }
  });

  it('stay valid after a restart, because the keys are stored', async () => {
    const directory = temporaryDirectory();
    const database = { sqlite: join(directory, 'identity.db') };
    const first = await startIdentity({ database }, { directory });
    await first.addUser('ida');
    const { access } = await login(first, 'ida');
    await first.stop();
    const second = await startIdentity({ database }, { directory });
    const keys = createRemoteJWKSet(new URL(`${second.issuer}/jwks`));
    expect((await jwtVerify(access, keys)).payload.sub).toBe(payloadOf(access)['sub']);
    await second.stop();
  });
});
