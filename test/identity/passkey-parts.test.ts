import { randomUUID } from 'node:crypto';
import * as library from '@simplewebauthn/server';
import { decodeAttestationObject } from '@simplewebauthn/server/helpers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPasskeyAdding } from '../../src/identity/passkey/passkey-adding.ts';
import { createChallenges } from '../../src/identity/passkey/challenges.ts';
import { passkeySiteOf } from '../../src/identity/passkey/site.ts';
import { createAccountStore, type Account } from '../../src/identity/store/account-store.ts';
import { createAuditStore } from '../../src/identity/store/audit-store.ts';
import { identityMigrations } from '../../src/identity/store/migrations.ts';
import { createPasskeyStore } from '../../src/identity/store/passkey-store.ts';
import { createTokenStore } from '../../src/identity/store/token-store.ts';
import { migrate, openDatabase, type Database } from '../../src/database/database.ts';
import { systemClock as clock } from '../../src/runtime/clock.ts';
import { createLog } from '../../src/runtime/log.ts';
import { createAuthenticator, type Cbor, type CreationOptions, type Deviation } from './authenticator.ts';

describe('the site of passkeys', () => {
  const on = { enabled: true };

  it.each([
    ['https://id.example', on, { kind: 'on', rpId: 'id.example', origin: 'https://id.example' }],
    [
      'https://id.example:8443/realm',
      on,
      { kind: 'on', rpId: 'id.example', origin: 'https://id.example:8443' },
    ],
    [
      'https://id.example',
      { ...on, rpId: 'example' },
      { kind: 'on', rpId: 'example', origin: 'https://id.example' },
    ],
    ['http://localhost:8080', on, { kind: 'on', rpId: 'localhost', origin: 'http://localhost:8080' }],
    ['http://id.localhost', on, { kind: 'on', rpId: 'id.localhost', origin: 'http://id.localhost' }],
    ['http://id.example', on, { kind: 'off', why: 'insecure' }],
    ['http://localhost.example', on, { kind: 'off', why: 'insecure' }],
    ['http://notlocalhost', on, { kind: 'off', why: 'insecure' }],
    ['http://127.0.0.1:8080', on, { kind: 'off', why: 'address' }],
    ['https://192.0.2.1', on, { kind: 'off', why: 'address' }],
    ['https://[2001:db8::1]', on, { kind: 'off', why: 'address' }],
    ['https://id.example', { enabled: false }, { kind: 'off', why: 'configured' }],
  ])('of %s with %j is %j', (issuer, settings, site) => {
    expect(passkeySiteOf(issuer, settings)).toEqual(site);
  });
});

describe('a new passkey', () => {
  const origin = 'https://id.example';
  const site = { kind: 'on', rpId: 'id.example', origin } as const;
  const loginUid = 'a browser';
  const [ada, mallory] = ['ada', 'mallory'].map((username): Account => ({
    id: randomUUID(),
    username,
    passwordHash: 'none',
    credentialsChangedAtMs: 1,
    isDisabled: false,
  })) as [Account, Account];
  let database: Database;

  beforeAll(async () => {
    database = openDatabase({ sqlite: ':memory:' });
    await migrate(database, [identityMigrations]);
    for (const account of [ada, mallory]) await createAccountStore(database).insert(account, 1);
  });
  afterAll(() => database.close());

  const addingWith = (verify: typeof library.verifyRegistrationResponse) =>
    createPasskeyAdding({
      site,
      library: { ...library, verifyRegistrationResponse: verify },
      decodeAttestation: decodeAttestationObject,
      passkeys: createPasskeyStore(database),
      challenges: createChallenges({ tokens: createTokenStore(database), clock }),
      audit: createAuditStore(database),
      maxPerAccount: 10,
      clock,
      log: createLog({ program: 'identity', level: 'silent' }),
    });

  const answerOf = ({ id }: Account, answer: string) =>
    ({ answer, name: 'x', accountId: id, loginUid, actor: { kind: 'person', id } }) as const;

  const certificates = new Map<Cbor, Cbor>([['x5c', [Buffer.from('a certificate')]]]);

  /** With a library that would believe any attestation. */
  async function add(deviation: Deviation): Promise<{ addition: string; isAsked: boolean }> {
    let isAsked = false;
    const adding = addingWith(async (options) => {
      isAsked = true;
      const plain = createAuthenticator(origin).create(asked);
      const response = JSON.parse(plain) as typeof options.response;
      const outcome = await library.verifyRegistrationResponse({ ...options, response });
      if (outcome.verified) outcome.registrationInfo.credential.id = options.response.id;
      return outcome;
    });
    const asked = (await adding.begin({ account: ada, loginUid })) as CreationOptions;
    const answer = createAuthenticator(origin).create(asked, deviation);
    return { addition: await adding.finish(answerOf(ada, answer)), isAsked };
  }

  it('has no attestation or self attestation; certificates are never read', async () => {
    const taken = { addition: 'inserted', isAsked: true };
    expect(await add({})).toEqual(taken);
    const own = new Map<Cbor, Cbor>([['alg', -7]]);
    expect(await add({ attestation: { fmt: 'packed', attStmt: own } })).toEqual(taken);
    for (const fmt of ['packed', 'tpm', 'android-key', 'android-safetynet', 'fido-u2f', 'apple', 'own'])
      expect(await add({ attestation: { fmt, attStmt: certificates } })).toEqual({
        addition: 'refused',
        isAsked: false,
      });
  });

  it('belongs to the account that requested it, whoever is logged in by now', async () => {
    const adding = addingWith(library.verifyRegistrationResponse);
    const asked = (await adding.begin({ account: ada, loginUid })) as CreationOptions;
    const answer = createAuthenticator(origin).create(asked);
    expect(await adding.finish(answerOf(mallory, answer))).toBe('refused');
    expect(await createPasskeyStore(database).list(mallory.id)).toEqual([]);
  });

  it('is refused when the account is disabled or gets another password concurrently', async () => {
    const adding = addingWith(library.verifyRegistrationResponse);
    const accounts = createAccountStore(database);
    const changes: ((id: string, nowMs: number) => Promise<void>)[] = [
      (id, nowMs) => database.db.transaction().execute((trx) => accounts.setPassword(trx, id, 'new', nowMs)),
      (id, nowMs) => database.db.transaction().execute((trx) => accounts.endLogins(trx, { id }, nowMs)),
      (id, nowMs) => database.db.transaction().execute((trx) => accounts.disable(trx, id, nowMs)),
    ];
    for (const change of changes) {
      const account = await accounts.find(mallory.id);
      if (account === undefined) throw new Error('there is no mallory');
      const asked = (await adding.begin({ account, loginUid })) as CreationOptions;
      await change(account.id, account.credentialsChangedAtMs + 1);
      const answer = createAuthenticator(origin).create(asked);
      expect(await adding.finish(answerOf(account, answer))).toBe('outdated');
    }
    expect(await createPasskeyStore(database).list(mallory.id)).toEqual([]);
  });
});
