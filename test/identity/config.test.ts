import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { identitySchema } from '../../src/config/identity.ts';
import { adminAudience, adminScopes } from '../../src/vocabulary/admin-scopes.ts';
import { startIdentity } from './identity-server.ts';

const web = {
  client_id: 'web',
  token_endpoint_auth_method: 'none',
  redirect_uris: ['http://localhost:3000/cb'],
};
const base = {
  issuer: 'https://id.example',
  redis: { url: 'redis://127.0.0.1:6379' },
  clients: [web],
  resources: { orders: { scopes: ['read'] } },
};

const rpId = (name: string) => ({
  issuer: 'https://id.shop.example',
  accounts: { passkeys: { rpId: name } },
});

const problems = (change: Record<string, unknown>): string[] =>
  v.safeParse(identitySchema, { ...base, ...change }).issues?.map(({ message }) => message) ?? [];

describe('the configuration of identity', () => {
  it('has the documented defaults', () => {
    expect(v.parse(identitySchema, base)).toMatchObject({
      listen: { kind: 'tcp', port: 8080 },
      admin: { host: '127.0.0.1', port: 9012 },
      database: { sqlite: './identity.db' },
      revocation: { log: 'curfew', clockTolerance: 5000 },
      tokens: {
        algorithm: 'RS256',
        lifetime: 60_000,
        refreshLifetime: 14 * 24 * 3_600_000,
        refreshGrace: 30_000,
      },
      keys: { rotateEvery: 30 * 24 * 3_600_000 },
      accounts: { passkeys: { enabled: true } },
      limits: { passkeysPerAccount: 10 },
      clients: [{ grant_types: ['authorization_code'], application_type: 'web' }],
    });
  });

  it('accepts a refreshGrace from 0 to five minutes', () => {
    for (const refreshGrace of ['0s', '500ms', '5m'])
      expect(problems({ tokens: { refreshGrace } })).toEqual([]);
    expect(problems({ tokens: { refreshGrace: '301s' } })).toEqual(['must be at most 5m']);
  });

  it('grants a client the scopes of the administration API, all of them and no other', () => {
    const service = {
      client_id: 'operator',
      client_secret: 'a-secret-of-thirty-two-characters-and-more',
      grant_types: ['client_credentials'],
    };
    const asked = (scopes: readonly string[]) =>
      problems({ clients: [{ ...service, admin_scopes: scopes }] });
    expect(asked(adminScopes)).toEqual([]);
    const refused = asked(['sessions:all']).join();
    expect(refused).not.toBe('');
    // valibot names what it would have taken.
    expect(
      [...refused.matchAll(/"(?<scope>[a-z]+:[a-z]+)"/g)].map(({ groups }) => groups?.['scope']),
    ).toEqual([...adminScopes, 'sessions:all']);
    expect(problems({ resources: { [adminAudience]: { scopes: [] } } })).toEqual([
      `${adminAudience} is reserved for the administration API`,
    ]);
  });

  it.each(['id.shop.example', 'shop.example'])('takes passkeys of %s', (name) => {
    expect(problems(rpId(name))).toEqual([]);
  });

  it.each([
    ['passkeys of another domain', rpId('example.org'), 'passkeys.rpId must be the issuer’s host'],
    ['passkeys of a domain below', rpId('a.id.shop.example'), 'passkeys.rpId must be the issuer’s host'],
    ['passkeys of half a domain', rpId('op.example'), 'passkeys.rpId must be the issuer’s host'],
    ['passkeys of a top-level domain', rpId('example'), 'passkeys.rpId must be the issuer’s host'],
    ['passkeys of an origin', rpId('https://id.shop.example'), 'must be a domain name'],
    ['passkeys of an address', rpId('127.0.0.1'), 'must be a domain name'],
    ['no passkey at all', { limits: { passkeysPerAccount: 0 } }, 'Invalid value'],
    ['an unknown key', { isuer: 'https://id.example' }, 'isuer'],
    ['an issuer with a slash at its end', { issuer: 'https://id.example/' }, 'must not end in a slash'],
    ['an issuer with a query', { issuer: 'https://id.example?a' }, 'neither query nor fragment'],
    ['an issuer with credentials', { issuer: 'https://me:you@id.example' }, 'must not contain credentials'],
    ['HS256 without a secret', { tokens: { algorithm: 'HS256' } }, 'HS256 needs `secret'],
    ['a secret without HS256', { tokens: { secret: { file: 'f', kid: 'k' } } }, 'and only HS256'],
    ['a lifetime of a fraction', { tokens: { lifetime: '10500ms' } }, 'whole seconds'],
    ['a lifetime of hours', { tokens: { lifetime: '2h' } }, 'at most 1h'],
    ['no resource', { resources: {} }, 'at least one resource'],
    ['no client', { clients: [] }, 'at least one client'],
    ['two clients of one id', { clients: [web, web] }, 'may appear once'],
    [
      'a client id that looks like an account’s',
      { clients: [{ ...web, client_id: '60effdfa-a4d7-471b-9946-186e8a05290e' }] },
      'must not look like a UUID',
    ],
    [
      'a public client with a secret',
      { clients: [{ ...web, client_secret: 'x'.repeat(32) }] },
      'none and private_key_jwt exclude it',
    ],
    [
      'a confidential client without one',
      { clients: [{ ...web, token_endpoint_auth_method: 'client_secret_basic' }] },
      'need `client_secret`',
    ],
    [
      'a code flow without an address to return to',
      { clients: [{ ...web, redirect_uris: [] }] },
      'needs at least one redirect URI',
    ],
    [
      'a default resource that is not there',
      { clients: [{ ...web, default_resource: 'payments' }] },
      'must be one of `resources`',
    ],
    [
      'a client’s resource that is not there',
      { clients: [{ ...web, resources: ['orders', 'payments'] }] },
      'must be one of `resources`',
    ],
    [
      'a default resource that the client may not have',
      { clients: [{ ...web, resources: [], default_resource: 'orders' }] },
      'must be one of the client’s `resources`',
    ],
    [
      'a login without a page for a client that needs consent',
      {
        clients: [
          {
            ...web,
            consent_required: true,
            grant_types: ['authorization_code', 'urn:curfew:grant-type:login'],
          },
        ],
      },
      'shows no consent page',
    ],
    [
      'an own token for a client that cannot prove who it is',
      { clients: [{ ...web, grant_types: ['authorization_code', 'client_credentials'] }] },
      'needs a client that authenticates',
    ],
  ])('refuses %s', (_, change, message) => {
    expect(problems(change).join('; ')).toContain(message);
  });

  it("fails at the start with the client that violates OAuth's rules", async () => {
    const clients = [{ ...web, redirect_uris: ['http://localhost:3000/cb#fragment'] }];
    await expect(startIdentity({ clients })).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      message: expect.stringContaining('client web'),
    });
  });
});
