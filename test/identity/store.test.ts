import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { textsFor } from '../../src/identity/text/strings.ts';
import type { RequestContext, RouteKind } from '../../src/identity/request/request-context.ts';
import { createRevoker, type Revoker } from '../../src/identity/session/revoker.ts';
import { createAccountStore, type AccountStore } from '../../src/identity/store/account-store.ts';
import { createGrantStore, type GrantStore, type NewGrant } from '../../src/identity/store/grant-store.ts';
import { createAuditStore } from '../../src/identity/store/audit-store.ts';
import { hashOf } from '../../src/identity/store/sealing.ts';
import { createOutbox, outboxMigrations } from '../../src/publisher/outbox.ts';
import { createLog } from '../../src/runtime/log.ts';
import { identityMigrations } from '../../src/identity/store/migrations.ts';
import { createProviderAdapter } from '../../src/identity/adapter/provider-adapter.ts';
import { createSessionStore } from '../../src/identity/store/session-store.ts';
import { createTokenStore, type TokenStore } from '../../src/identity/store/token-store.ts';
import { migrate, type Database } from '../../src/database/database.ts';
import { temporaryDirectory } from '../temporary.ts';
import { onEachDatabase, openTestDatabase } from './databases.ts';

const nowMs = 1_700_000_000_000;
const soonMs = nowMs + 60_000;
const credentials = { accountId: 'ada', changedAtMs: 7 };

let database: Database;
let accounts: AccountStore;
let grants: GrantStore;
let tokens: TokenStore;

const newGrant = (id: string, change: Partial<NewGrant> = {}): NewGrant => ({
  id,
  clientId: 'web',
  payload: '{}',
  familyKey: 'key',
  device: '',
  address: '',
  nowMs,
  expiresAtMs: soonMs,
  credentials,
  ...change,
});

const refreshToken = (id: string, grantId: string) => ({
  kind: 'RefreshToken' as const,
  id,
  grantId,
  payload: '{}',
  expiresAtMs: soonMs + 1,
});

const use = { by: 'somebody', nowMs };
const isUsed = async (id: string): Promise<boolean | undefined> => {
  const token = await tokens.find('RefreshToken', id);
  return token === undefined ? undefined : token.consumedAtMs !== undefined;
};

onEachDatabase('storage', ({ create }) => {
  beforeEach(async () => {
    database = openTestDatabase(await create(temporaryDirectory()));
    await migrate(database, [identityMigrations, outboxMigrations]);
    accounts = createAccountStore(database);
    grants = createGrantStore(database);
    tokens = createTokenStore(database);
    const account = { id: 'ada', username: 'ada', passwordHash: 'x', isDisabled: false };
    await accounts.insert({ ...account, credentialsChangedAtMs: 7 }, nowMs);
  });
  afterEach(() => database.close());

  describe('a rotation', () => {
    beforeEach(async () => {
      await grants.insert(newGrant('g1'));
      await tokens.put(refreshToken('first', 'g1'), nowMs);
    });
    const rotateTo = (id: string, grantId = 'g1') =>
      tokens.rotate(
        { kind: 'RefreshToken', id: 'first' },
        { ...refreshToken(id, grantId), sessionUid: undefined, isKept: true },
        use,
      );

    it('uses the old token and writes the new one', async () => {
      expect(await rotateTo('second')).toBeUndefined();
      expect(await isUsed('first')).toBe(true);
      expect(await isUsed('second')).toBe(false);
      expect((await grants.find('g1'))?.expiresAtMs).toBe(soonMs + 1);
    });

    it('happens once: a second one writes nothing', async () => {
      await rotateTo('second');
      expect(await rotateTo('third')).toBe('used');
      expect(await isUsed('third')).toBeUndefined();
    });

    it('leaves the old token unchanged when the grant no longer exists', async () => {
      expect(await rotateTo('second', 'no-such-grant')).toBe('gone');
      expect(await isUsed('first')).toBe(false);
      expect(await isUsed('second')).toBeUndefined();
    });

    const first = { kind: 'RefreshToken', id: 'first' } as const;

    it('is undone completely when its response was lost', async () => {
      await rotateTo('second');
      await tokens.takeBack({ token: first, use, successorId: 'second' });
      expect([await isUsed('first'), await isUsed('second')]).toEqual([false, undefined]);
      expect(await tokens.recordRepeat(first, { usedAtMs: nowMs, nowMs })).toBe(false);
      expect(await rotateTo('third')).toBeUndefined();
    });

    it('is not repeated when it was undone and the token was used again meanwhile', async () => {
      await rotateTo('second');
      await tokens.takeBack({ token: first, use, successorId: 'second' });
      await tokens.consume(first, { ...use, nowMs: nowMs + 1 });
      expect(await tokens.recordRepeat(first, { usedAtMs: nowMs, nowMs: nowMs + 2 })).toBe(false);
    });

    it('stays when its successor was returned again before it could be undone', async () => {
      await rotateTo('second');
      expect(await tokens.recordRepeat(first, { usedAtMs: nowMs, nowMs })).toBe(true);
      await tokens.takeBack({ token: first, use, successorId: 'second' });
      expect([await isUsed('first'), await isUsed('second')]).toEqual([true, false]);
    });

    it('that is begun and not committed uses nothing', async () => {
      const adapter = adapterOf('RefreshToken');
      await adapter.consume('first');
      expect(await isUsed('first')).toBe(false);
      await adapter.upsert('second', { grantId: 'g1' }, 60);
      expect([await isUsed('first'), await isUsed('second')]).toEqual([true, false]);
    });
  });

  describe('a grant', () => {
    it("is inserted only if the account's credentials are unchanged", async () => {
      expect(await grants.insert(newGrant('g1'))).toBe(true);
      const stale = { ...credentials, changedAtMs: 6 };
      expect(await grants.insert(newGrant('g2', { credentials: stale }))).toBe(false);
      await database.db.transaction().execute((trx) => accounts.setPassword(trx, 'ada', 'y', 8));
      expect(await grants.insert(newGrant('g3'))).toBe(false);
      await database.db.transaction().execute((trx) => accounts.disable(trx, 'ada', 9));
      const current = { ...credentials, changedAtMs: 8 };
      expect(await grants.insert(newGrant('g4', { credentials: current }))).toBe(false);
      expect((await grants.list({ accountId: 'ada' }, { limit: 10, offset: 0 })).map(({ id }) => id)).toEqual(
        ['g1'],
      );
    });

    it('lives as long as a browser’s session, or else as its tokens', async () => {
      await grants.insert(newGrant('browser', { loginHash: 'login' }));
      await grants.insert(newGrant('device'));
      for (const id of ['browser', 'device'])
        expect(await grants.update(id, '{"wider":true}', soonMs + 1000)).toBe(true);
      expect(await grants.update('gone', '{}', soonMs)).toBe(false);
      const payload = '{"wider":true}';
      expect(await grants.find('browser')).toMatchObject({ payload, expiresAtMs: soonMs + 1000 });
      expect(await grants.find('device')).toMatchObject({ payload, expiresAtMs: soonMs });
      await tokens.put({ ...refreshToken('first', 'device'), expiresAtMs: soonMs + 500 }, nowMs);
      expect(await grants.find('device')).toMatchObject({ expiresAtMs: soonMs + 500 });
    });

    it('that was read in a request is not restored by saving it', async () => {
      await grants.insert(newGrant('g1'));
      const adapter = adapterOf('Grant');
      const payload = await adapter.find('g1');
      await grants.remove({ id: 'g1' }, { record: () => Promise.resolve() });
      await expect(adapter.upsert('g1', payload ?? {}, 60)).rejects.toThrow('invalid_grant');
      expect(await grants.find('g1')).toBeUndefined();
    });

    it('stays when recording its revocation fails: both happen, or neither', async () => {
      await grants.insert(newGrant('g1'));
      await tokens.put(refreshToken('first', 'g1'), nowMs);
      const record = () => Promise.reject(new Error('no room'));
      await expect(grants.remove({ id: 'g1' }, { record })).rejects.toThrow('no room');
      expect(await grants.find('g1')).toBeDefined();
      expect(await isUsed('first')).toBe(false);
    });

    it('is deleted with its tokens, and accepts no new one', async () => {
      await grants.insert(newGrant('g1'));
      await tokens.put(refreshToken('first', 'g1'), nowMs);
      const record = (_: unknown, removed: readonly { id: string }[]) => Promise.resolve(removed);
      expect(await grants.remove({ accountId: 'ada' }, { record })).toMatchObject([{ id: 'g1' }]);
      expect(await isUsed('first')).toBeUndefined();
      expect(await tokens.put(refreshToken('second', 'g1'), nowMs)).toBe(false);
    });
  });

  describe('a client’s assertion', () => {
    it('is accepted once, even for two requests that both found it unused', async () => {
      const [one, other] = [adapterOf('ReplayDetection'), adapterOf('ReplayDetection')];
      expect([await one.find('a'), await other.find('a')]).toEqual([undefined, undefined]);
      const outcomes = await Promise.allSettled([one, other].map((each) => each.upsert('a', {}, 60)));
      expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
      await expect(one.upsert('a', {}, 60)).rejects.toThrow('invalid_client');
    });

    it('is refused when it would have to be stored for more than a day', async () => {
      for (const seconds of [86_401, 1e300, NaN])
        await expect(adapterOf('ReplayDetection').upsert('b', {}, seconds)).rejects.toThrow('invalid_client');
      await adapterOf('ReplayDetection').upsert('b', {}, 86_399.5);
    });
  });

  describe('a browser’s login', () => {
    const session = { id: 'id', uid: 'uid', payload: '{"uid":"uid"}', accountId: 'ada', expiresAtMs: soonMs };

    it('is written for current credentials only, and never again after it has ended', async () => {
      const sessions = createSessionStore(database);
      expect(await sessions.put(session, { isNew: true, credentials })).toBe(true);
      expect((await sessions.findByUid('uid'))?.payload).toBe(session.payload);
      await database.db.transaction().execute((trx) => accounts.setPassword(trx, 'ada', 'y', 8));
      expect(await sessions.findByUid('uid')).toBeUndefined();
      expect(await sessions.put(session, { isNew: false })).toBe(false);
      expect(await sessions.put(session, { isNew: true, credentials })).toBe(false);
      expect(await sessions.find('id')).toBeUndefined();
    });

    it('exists at all times while its id changes, and ends at a logout', async () => {
      const sessions = createSessionStore(database);
      await sessions.put(session, { isNew: true });
      const other = adapterOf('Session', 'other');
      await other.find('id');
      await other.destroy('id');
      expect(await sessions.find('id')).toBeDefined();
      const logout = adapterOf('Session', 'logout');
      await logout.find('id');
      await logout.destroy('id');
      expect(await sessions.find('id')).toBeUndefined();
    });

    it('ends together with sessions that begin during its logout, and with no others', async () => {
      const sessions = createSessionStore(database);
      await sessions.put(session, { isNew: true });
      const logout = adapterOf('Session', 'logout');
      await logout.find('id');
      await grants.insert(newGrant('late', { loginHash: hashOf('SessionUid', 'uid') }));
      await grants.insert(newGrant('elsewhere', { loginHash: hashOf('SessionUid', 'other') }));
      await logout.destroy('id');
      expect((await grants.list({}, { limit: 10, offset: 0 })).map(({ id }) => id)).toEqual(['elsewhere']);
      const recorded = sql`select kind, target, reason from revocation_outbox`.execute(database.db);
      expect((await recorded).rows).toEqual([{ kind: 'session', target: 'late', reason: 'logout' }]);
    });

    it('is found by its new id alone after the id has changed', async () => {
      const sessions = createSessionStore(database);
      await sessions.put(session, { isNew: true });
      await sessions.put({ ...session, id: 'new', payload: '{"a":1}' }, { isNew: false });
      expect(await sessions.find('id')).toBeUndefined();
      expect((await sessions.find('new'))?.payload).toBe('{"a":1}');
    });
  });
});

const requestContext = (): RequestContext => ({
  startedAt: nowMs / 1000,
  isClockSynchronised: true,
  route: 'token',
  address: '10.0.0.1',
  device: 'test',
  texts: textsFor(undefined),
  browser: undefined,
  nameBrowser: () => 'browser',
  grantsRead: new Map(),
  sessionsRead: new Map(),
  beforeDevice: undefined,
  loginUid: undefined,
  credentials: undefined,
  isLoginRefused: false,
  mayRefresh: true,
  rotation: undefined,
  uses: [],
  isDatabaseLost: false,
  repeated: undefined,
});

/** Storage as oidc-provider sees it, in one request. */
function adapterOf(model: string, route: RouteKind = 'token') {
  const context = { ...requestContext(), route };
  const create = createProviderAdapter({
    grants,
    tokens,
    sessions: createSessionStore(database),
    revoker: revoker(),
    recovery: { recover: () => Promise.resolve() },
    clock,
    issuedTokenVerifier: { verify: () => Promise.resolve(undefined) },
    context: () => context,
    rotationLeewayMs: 0,
    refreshGraceMs: 30_000,
    onRepeat: () => undefined,
    maxSessionsPerAccount: 10,
  });
  return create(model);
}

const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
const issuer = 'https://id.example';

const revoker = (): Revoker =>
  createRevoker({
    grants,
    audit: createAuditStore(database),
    outbox: createOutbox({ database, issuers: [{ issuer, clock: 'own' }], clockToleranceMs: 0 }),
    issuer,
    clock,
    metrics: undefined,
    log: createLog({ program: 'test', level: 'silent' }),
    publishWaitMs: 0,
  });
