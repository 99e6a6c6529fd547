import { describe, expect, it } from 'vitest';
import { issuerRules } from '../../src/token/issuer-rules.ts';
import type { PresetName } from '../../src/vocabulary/preset-names.ts';
import { testVerifier, trusted } from './fixtures.ts';
import { issueToken, testIssuer, testNow } from './tokens.ts';

const base = { issuer: testIssuer, audiences: ['orders'] } as const;

describe('the rules of an issuer', () => {
  it('have safe defaults', () => {
    expect(issuerRules(base)).toEqual({
      issuer: testIssuer,
      audiences: ['orders'],
      algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
      types: ['at+jwt'],
      sessionClaim: 'grant_id',
      sessionExempt: undefined,
      clientClaims: ['client_id', 'azp'],
      maxTokenLifetimeSeconds: 300,
      clockToleranceSeconds: 5,
      revocable: true,
    });
  });

  it('take what the preset says, unless it is said otherwise', () => {
    expect(issuerRules({ ...base, preset: 'cognito' })).toMatchObject({ sessionClaim: 'origin_jti' });
    expect(
      issuerRules({
        ...base,
        preset: 'auth0',
        sessionClaim: 'x',
        types: ['AT+JWT'],
        sessionExempt: { claim: 'a', value: 'b' },
      }),
    ).toMatchObject({ sessionClaim: 'x', types: ['at+jwt'], sessionExempt: { claim: 'a', value: 'b' } });
  });

  it('cannot be changed', () => {
    expect(Object.isFrozen(issuerRules(base))).toBe(true);
  });
});

type Sample = { preset: PresetName; what: string; header?: object; claims: Record<string, unknown> };

/** Payloads as the providers document them, cut to what matters. */
const accepted: readonly Sample[] = [
  {
    preset: 'keycloak',
    what: 'a user’s access token',
    header: { typ: 'JWT' },
    claims: { typ: 'Bearer', azp: 'web', sid: 's-1', jti: 'onrtac:1', scope: 'profile email', acr: '1' },
  },
  {
    preset: 'auth0',
    what: 'a token of its own profile',
    header: { typ: 'JWT' },
    claims: { azp: 'web', sid: 's-1' },
  },
  { preset: 'auth0', what: 'a token of the RFC 9068 profile', claims: { client_id: 'web', sid: 's-1' } },
  {
    preset: 'auth0',
    what: 'a machine’s token',
    header: { typ: 'JWT' },
    claims: { sub: 'm2m@clients', azp: 'm2m', gty: 'client-credentials' },
  },
  {
    preset: 'okta',
    what: 'a user’s access token',
    header: { typ: undefined },
    claims: { cid: 'web', scp: ['a'], sid: 's-1' },
  },
  {
    preset: 'okta',
    what: 'a service’s token',
    header: { typ: undefined },
    claims: { sub: 'svc', cid: 'svc', jti: 'AT.1', scp: ['a'] },
  },
  {
    preset: 'entra',
    what: 'a user’s access token',
    header: { typ: 'JWT', x5t: 'abc' },
    claims: { azp: 'web', scp: 'a b', sid: 's-1' },
  },
  {
    preset: 'entra',
    what: 'an application’s token',
    header: { typ: 'JWT' },
    claims: { azp: 'app', idtyp: 'app', roles: ['r'] },
  },
  {
    preset: 'cognito',
    what: 'a user’s access token',
    header: { typ: undefined },
    claims: { aud: undefined, client_id: 'web', token_use: 'access', origin_jti: 'o-1' },
  },
];

const refused: readonly (Sample & { reason: string })[] = [
  {
    preset: 'keycloak',
    what: 'an ID token',
    header: { typ: 'JWT' },
    claims: { typ: 'ID', sid: 's-1', at_hash: 'x' },
    reason: 'wrong_type',
  },
  {
    preset: 'keycloak',
    what: 'a service account without a session',
    header: { typ: 'JWT' },
    claims: { sub: 'uuid', azp: 'svc' },
    reason: 'missing_claim',
  },
  {
    preset: 'auth0',
    what: 'an ID token',
    header: { typ: 'JWT' },
    claims: { sid: 's-1', nonce: 'n' },
    reason: 'wrong_type',
  },
  {
    preset: 'okta',
    what: 'an ID token',
    header: { typ: undefined },
    claims: { sid: 's-1', at_hash: 'x' },
    reason: 'wrong_type',
  },
  {
    preset: 'entra',
    what: 'a user’s token without sid',
    header: { typ: 'JWT' },
    claims: { azp: 'web', idtyp: 'user' },
    reason: 'missing_claim',
  },
  {
    preset: 'cognito',
    what: 'an ID token',
    header: { typ: undefined },
    claims: { token_use: 'id', origin_jti: 'o-1' },
    reason: 'wrong_type',
  },
];

const verify = ({ preset, header, claims }: Sample) =>
  testVerifier([trusted({ preset, audiences: 'any' })]).verify(
    issueToken({
      now: testNow,
      ...(header !== undefined && { header: { ...header } }),
      claims: { client_id: undefined, grant_id: undefined, scope: undefined, ...claims },
    }),
  );

describe('a preset', () => {
  it.each(accepted)('$preset accepts $what', async (sample) => {
    expect(await verify(sample)).toMatchObject({ kind: 'verified' });
  });

  it.each(refused)('$preset refuses $what', async (sample) => {
    expect(await verify(sample)).toMatchObject({ reason: sample.reason });
  });
});
