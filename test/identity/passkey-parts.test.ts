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
import { migrate, openDatabase, type Database } from '../../src/publisher/store/database.ts';
import { systemClock as clock } from '../../src/runtime/clock.ts';
import { createLog } from '../../src/runtime/log.ts';
import { createAuthenticator, type Cbor, type CreationOptions } from './authenticator.ts';

describe('the place of passkeys', () => {
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

describe('the attestation of a new passkey', () => {
  const origin = 'https://id.example';
  const site = { kind: 'on', rpId: 'id.example', origin } as const;
  const loginUid = 'a browser';
  const account: Account = {
    id: 'f0a7c2f4-6f57-4d5c-9f0e-6a2b6d1d9f00',
    username: 'ada',
    passwordHash: 'none',
    credentialsChangedAtMs: 1,
    isDisabled: false,
  };
  let database: Database;

  beforeAll(async () => {
    database = openDatabase({ sqlite: ':memory:' });
    await migrate(database, [identityMigrations]);
    await createAccountStore(database).insert(account, 1);
  });
  afterAll(() => database.close());

  /** With a library that would believe any attestation. */
  async function add(attestation: { fmt: string; attStmt: Cbor } | undefined): Promise<unknown> {
    let isAsked = false;
    const adding = createPasskeyAdding({
      site,
      library: {
        ...library,
        verifyRegistrationResponse: async (options) => {
          isAsked = true;
          const none = createAuthenticator(origin).create(
            JSON.parse(JSON.stringify(asked)) as CreationOptions,
          );
          const response = { ...(JSON.parse(none) as typeof options.response) };
          const outcome = await library.verifyRegistrationResponse({ ...options, response });
          if (outcome.verified) outcome.registrationInfo.credential.id = options.response.id;
          return outcome;
        },
      },
      decodeAttestation: decodeAttestationObject,
      passkeys: createPasskeyStore(database),
      challenges: createChallenges({ tokens: createTokenStore(database), clock }),
      audit: createAuditStore(database),
      maxPerAccount: 10,
      clock,
      log: createLog({ program: 'identity', level: 'silent' }),
    });
    const asked = await adding.begin({ account, loginUid });
    const answer = createAuthenticator(origin).create(
      asked as CreationOptions,
      attestation === undefined ? {} : { attestation },
    );
    const actor = { kind: 'person', id: account.id } as const;
    const addition = await adding.finish({ answer, name: 'x', accountId: account.id, loginUid, actor });
    return { addition, isAsked };
  }

  const certificates = new Map<Cbor, Cbor>([['x5c', [Buffer.from('a certificate')]]]);

  it('is none, or a signature of its own key, and its certificates are never looked at', async () => {
    const taken = { addition: 'inserted', isAsked: true };
    expect(await add(undefined)).toEqual(taken);
    expect(await add({ fmt: 'packed', attStmt: new Map<Cbor, Cbor>([['alg', -7]]) })).toEqual(taken);
    for (const fmt of ['packed', 'tpm', 'android-key', 'android-safetynet', 'fido-u2f', 'apple', 'own'])
      expect(await add({ fmt, attStmt: certificates })).toEqual({ addition: 'refused', isAsked: false });
  });
});
