import { describe, expect, it } from 'vitest';
import { presetNames } from '../../src/vocabulary/preset-names.ts';
import type { IssuerOptions } from '../../src/token/issuer-rules.ts';
import { presets } from '../../src/token/preset.ts';
import type { PresetName } from '../../src/vocabulary/preset-names.ts';
import { testVerifier, trusted } from './fixtures.ts';
import { signCompact, testKey, testNow } from './tokens.ts';

// Tokens as each provider documents them, judged with its preset: the access token of a person and of a
// service, and what must not pass for one.

type Json = Readonly<Record<string, unknown>>;

const issued = { iat: testNow - 10, exp: testNow + 290 };

/** Signs a token of the provider's shape. */
const sign = (claims: Json, header: Json): string =>
  signCompact(
    JSON.stringify({ alg: 'RS256', kid: testKey().kid, ...header }),
    JSON.stringify({ ...issued, ...claims }),
    testKey(),
  );

async function judge(token: string, preset: PresetName, options: Partial<IssuerOptions>) {
  const verification = await testVerifier([trusted({ preset, ...options })]).verify(token);
  if (verification.kind === 'rejected') return verification.reason;
  const { session, subject, clientId, scopes } = verification.token;
  return { session, subject, clientId, scopes };
}

describe('the preset keycloak', () => {
  const issuer = 'https://keycloak.example/realms/shop';
  const user: Json = {
    iss: issuer,
    jti: 'onrtac:8f8f2c5e-8d37-4a0b-8a34-5f2e1f0a7c11',
    aud: ['orders', 'account'],
    auth_time: testNow - 12,
    sub: 'f:1:ada',
    typ: 'Bearer',
    azp: 'web',
    sid: 'b6f5a2a0-7c54-4f3a-9f7e-5ad3d0a1b2c3',
    acr: '1',
    'allowed-origins': ['https://shop.example'],
    realm_access: { roles: ['offline_access', 'uma_authorization', 'default-roles-shop'] },
    resource_access: { account: { roles: ['manage-account', 'manage-account-links', 'view-profile'] } },
    scope: 'openid email profile',
    email_verified: true,
    preferred_username: 'ada',
  };
  const keycloak = (claims: Json, typ = 'JWT') => judge(sign(claims, { typ }), 'keycloak', { issuer });

  it('reads an access token: the session is sid, the client azp', async () => {
    const read = {
      session: user['sid'],
      subject: 'f:1:ada',
      clientId: 'web',
      scopes: ['openid', 'email', 'profile'],
    };
    expect(await keycloak(user)).toEqual(read);
    expect(await keycloak(user, 'at+jwt')).toEqual(read);
  });

  it('refuses its other tokens, and an access token without a session', async () => {
    expect(await keycloak({ ...user, typ: 'ID', at_hash: 'x', nonce: 'n' })).toBe('wrong_type');
    expect(await keycloak({ ...user, typ: 'ID' })).toBe('wrong_type');
    expect(await keycloak({ ...user, typ: 'Refresh' })).toBe('wrong_type');
    expect(await keycloak({ ...user, typ: 'Offline' })).toBe('wrong_type');
    expect(await keycloak({ ...user, typ: 'Logout' })).toBe('wrong_type');
    expect(await keycloak({ ...user, sid: undefined })).toBe('missing_claim');
  });

  it('takes a service account’s token by a claim that a mapper adds', async () => {
    const service: Json = {
      ...user,
      sid: undefined,
      sub: 'c0ffee00-0000-4000-8000-000000000001',
      azp: 'billing',
      client_id: 'billing',
      preferred_username: 'service-account-billing',
      clientHost: '10.0.0.1',
      clientAddress: '10.0.0.1',
      token_kind: 'service',
    };
    expect(await keycloak(service)).toBe('missing_claim');
    const exempt = { issuer, sessionExempt: { claim: 'token_kind', value: 'service' } };
    expect(await judge(sign(service, { typ: 'JWT' }), 'keycloak', exempt)).toMatchObject({
      session: undefined,
      clientId: 'billing',
    });
  });
});

describe('the preset auth0', () => {
  const issuer = 'https://shop.eu.auth0.com/';
  const sessionClaim = 'https://shop.example/sid';
  const user: Json = {
    iss: issuer,
    sub: 'auth0|6553da60a54af58e29493993',
    aud: ['orders', 'https://shop.eu.auth0.com/userinfo'],
    azp: 'K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja',
    scope: 'openid profile read:orders',
    [sessionClaim]: 'jYA5wG-BNT5Bak7p',
  };
  const auth0 = (claims: Json, typ = 'JWT') =>
    judge(sign(claims, { typ }), 'auth0', { issuer, sessionClaim });

  it('reads an access token of its own profile, the session from the claim an Action adds', async () => {
    expect(await auth0(user)).toEqual({
      session: 'jYA5wG-BNT5Bak7p',
      subject: user['sub'],
      clientId: user['azp'],
      scopes: ['openid', 'profile', 'read:orders'],
    });
  });

  it('reads an access token of the RFC 9068 profile', async () => {
    const { azp, ...rest } = user;
    const token = { ...rest, client_id: azp, jti: '73WakrfVbNJBaAmhQtEeDv' };
    expect(await auth0(token, 'at+jwt')).toMatchObject({ session: 'jYA5wG-BNT5Bak7p', clientId: azp });
  });

  it('takes a machine’s token, which has no session', async () => {
    const machine: Json = {
      iss: issuer,
      sub: 'awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients',
      aud: 'orders',
      azp: 'awZfdIir8YFdGZWkvCejDoUb7SjTDicx',
      gty: 'client-credentials',
      scope: 'read:orders',
    };
    expect(await auth0(machine)).toMatchObject({ session: undefined, clientId: machine['azp'] });
  });

  it('refuses an ID token, and an access token that the Action did not touch', async () => {
    const id = {
      iss: issuer,
      sub: user['sub'],
      aud: 'K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja',
      sid: 's',
      nonce: 'n',
    };
    expect(await auth0(id)).toBe('wrong_type');
    expect(await auth0({ ...user, [sessionClaim]: undefined })).toBe('missing_claim');
  });
});

describe('the preset okta', () => {
  const issuer = 'https://shop.okta.com/oauth2/default';
  const user: Json = {
    ver: 1,
    jti: 'AT.MNAoEQ_jbKqoinrQo1D0XKjMX28U5d7ZszBceot7-Ts',
    iss: issuer,
    aud: 'orders',
    cid: '0oa1client',
    uid: '00u1ada',
    scp: ['openid', 'profile'],
    auth_time: testNow - 12,
    sub: '00u1ada',
    session_id: '102-session',
  };
  const okta = (claims: Json, sessionClaim = 'session_id') =>
    judge(sign(claims, {}), 'okta', { issuer, sessionClaim });

  it('reads an access token without a type, its client from cid and its scopes from scp', async () => {
    expect(await okta(user)).toEqual({
      session: '102-session',
      subject: '00u1ada',
      clientId: '0oa1client',
      scopes: ['openid', 'profile'],
    });
  });

  it('can be configured without a session: jti takes its place', async () => {
    expect(await okta({ ...user, session_id: undefined })).toBe('missing_claim');
    expect(await okta({ ...user, session_id: undefined }, 'jti')).toMatchObject({ session: user['jti'] });
  });

  it('takes a service’s own token, whose subject is the client', async () => {
    const { uid, session_id, auth_time, ...rest } = user;
    expect(await okta({ ...rest, sub: '0oa1client' })).toMatchObject({
      session: undefined,
      subject: '0oa1client',
    });
    expect([uid, session_id, auth_time]).not.toContain(undefined);
  });

  it('refuses an ID token', async () => {
    const id: Json = {
      sub: '00u1ada',
      ver: 1,
      iss: issuer,
      aud: '0oa1client',
      jti: 'ID.radCQMOQUmyvcTBmmIL0J6BaS60apUEiC7-vI7pOmkw',
      amr: ['pwd'],
      idp: '00o1',
      at_hash: 'fPlsvVszI29LU2UhDyJ9vg',
      session_id: 's',
    };
    expect(await okta(id)).toBe('wrong_type');
  });
});

describe('the preset entra', () => {
  const tenant = '72f988bf-86f1-41af-91ab-2d7cd011db47';
  const v2 = `https://login.microsoftonline.com/${tenant}/v2.0`;
  const v1 = `https://sts.windows.net/${tenant}/`;
  const user: Json = {
    aud: '6e74172b-be56-4843-9ff4-e66a39bb12e3',
    iss: v2,
    nbf: testNow - 10,
    aio: 'AXQAi/8IAAAA',
    azp: '6731de76-14a6-49ae-97bc-6eba6914391e',
    azpacr: '0',
    name: 'Ada',
    oid: '690222be-ff1a-4d56-abd1-7e4f7d38e474',
    preferred_username: 'ada@shop.example',
    rh: 'I',
    scp: 'access_as_user',
    sid: '00170f5d-8a61-4bd6-9be2-8b3b9b6ba3a5',
    sub: 'HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ',
    tid: tenant,
    uti: 'fqiBqXLPj0eQa82S-IYFAA',
    ver: '2.0',
  };
  const entra = (claims: Json, issuer = v2) => judge(sign(claims, { typ: 'JWT' }), 'entra', { issuer });

  it('reads an access token of version 2.0 with the optional claim sid', async () => {
    expect(await entra(user)).toEqual({
      session: user['sid'],
      subject: user['sub'],
      clientId: user['azp'],
      scopes: ['access_as_user'],
    });
  });

  it('reads an access token of version 1.0, its client from appid', async () => {
    const { azp, azpacr, ...rest } = user;
    const token = { ...rest, iss: v1, appid: azp, appidacr: azpacr, ver: '1.0', aud: 'api://orders' };
    expect(await entra(token, v1)).toMatchObject({ session: user['sid'], clientId: azp });
  });

  it('takes an application’s own token by the optional claim idtyp', async () => {
    const { sid, scp, name, preferred_username, ...rest } = user;
    expect([sid, scp, name, preferred_username]).not.toContain(undefined);
    expect(await entra({ ...rest, roles: ['Orders.Read'] })).toBe('missing_claim');
    expect(await entra({ ...rest, roles: ['Orders.Read'], idtyp: 'app' })).toMatchObject({
      session: undefined,
    });
  });

  it('refuses an ID token with a nonce, and an access token without sid', async () => {
    expect(await entra({ ...user, nonce: '678910' })).toBe('wrong_type');
    expect(await entra({ ...user, sid: undefined })).toBe('missing_claim');
  });
});

describe('the preset cognito', () => {
  const issuer = 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example';
  const user: Json = {
    sub: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
    'cognito:groups': ['buyers'],
    iss: issuer,
    version: 2,
    client_id: '4ex1ample2client3id',
    origin_jti: 'cccccccc-dddd-eeee-aaaa-bbbbbbbbbbbb',
    event_id: 'dddddddd-eeee-aaaa-bbbb-cccccccccccc',
    token_use: 'access',
    scope: 'openid orders/read',
    auth_time: testNow - 12,
    jti: 'eeeeeeee-aaaa-bbbb-cccc-dddddddddddd',
    username: 'ada',
  };
  const cognito = (claims: Json) => judge(sign(claims, {}), 'cognito', { issuer });

  it('reads an access token: no type, no audience, the refresh token’s family as session', async () => {
    expect(await cognito(user)).toEqual({
      session: user['origin_jti'],
      subject: user['sub'],
      clientId: '4ex1ample2client3id',
      scopes: ['openid', 'orders/read'],
    });
  });

  it('takes a machine’s own token', async () => {
    const { origin_jti, username, event_id, ...rest } = user;
    expect([origin_jti, username, event_id]).not.toContain(undefined);
    expect(await cognito({ ...rest, sub: '4ex1ample2client3id' })).toMatchObject({ session: undefined });
  });

  it('refuses an ID token, and a pool without token revocation', async () => {
    const id: Json = {
      ...user,
      client_id: undefined,
      scope: undefined,
      aud: '4ex1ample2client3id',
      token_use: 'id',
      email: 'ada@shop.example',
      'cognito:username': 'ada',
    };
    expect(await cognito(id)).toBe('wrong_type');
    expect(await cognito({ ...id, at_hash: 'x', token_use: 'access' })).toBe('wrong_type');
    expect(await cognito({ ...user, origin_jti: undefined })).toBe('missing_claim');
  });
});

describe('the preset fusionauth', () => {
  const issuer = 'acme.com';
  const application = 'e9fdb985-9173-4e01-9d73-ac2d60d1dc8e';
  const user: Json = {
    aud: application,
    iss: issuer,
    sub: '00000000-0000-0000-0000-111111111111',
    jti: '2e2271d7-3057-4bfd-99ab-34af48e84567',
    authenticationType: 'PASSWORD',
    applicationId: application,
    scope: 'offline_access profile openid',
    roles: [],
    sid: '0abe7139-0bd0-4fd0-a450-c1e8b16e710a',
    auth_time: testNow - 12,
    tid: 'd7d09513-a3f5-401c-9685-34ab6c552453',
  };
  const fusionAuth = (claims: Json, header: Json = {}) =>
    judge(sign(claims, { typ: 'JWT', ...header }), 'fusionauth', {
      issuer,
      audiences: [application, 'entity'],
    });

  it('reads an access token: the session is the refresh token’s id, the client the application', async () => {
    const read = {
      session: user['sid'],
      subject: user['sub'],
      clientId: application,
      scopes: ['offline_access', 'profile', 'openid'],
    };
    expect(await fusionAuth(user, { gty: ['authorization_code'] })).toEqual(read);
    // Since version 1.60 in the payload.
    expect(await fusionAuth({ ...user, gty: ['authorization_code', 'refresh_token'] })).toEqual(read);
  });

  it('reads that of a user who isn’t registered for the application', async () => {
    const token = { ...user, applicationId: undefined, roles: undefined };
    expect(await fusionAuth(token)).toMatchObject({ session: user['sid'], clientId: undefined });
  });

  it('refuses one that came without a refresh token: nothing could revoke it', async () => {
    expect(await fusionAuth({ ...user, scope: 'openid', sid: undefined })).toBe('missing_claim');
  });

  const entity: Json = {
    aud: 'entity',
    iss: issuer,
    sub: '092dbded-30af-4149-9c61-b578f2c72f59',
    jti: '7c8b0e0f-0b6d-4b0e-8a3d-2f1c7a7f0b11',
    scope: 'target-entity:entity:read',
    permissions: ['read'],
    tid: user['tid'],
  };
  it('takes an entity’s own token by gty in its payload, and one without it not', async () => {
    expect(await fusionAuth({ ...entity, gty: ['client_credentials'] })).toMatchObject({
      session: undefined,
      subject: entity['sub'],
    });
    expect(await fusionAuth(entity, { gty: ['client_credentials'] })).toBe('missing_claim');
    expect(await fusionAuth({ ...entity, gty: ['client_credentials', 'refresh_token'] })).toBe(
      'missing_claim',
    );
    expect(await fusionAuth({ ...entity, gty: [] })).toBe('missing_claim');
  });

  it('refuses an ID token, whose sid is another session’s', async () => {
    expect(await fusionAuth({ ...user, at_hash: 'x', sid: 'sso-session' })).toBe('wrong_type');
    expect(await fusionAuth({ ...user, nonce: 'n', sid: 'sso-session' })).toBe('wrong_type');
  });

  it('takes the type that FusionAuth writes, and no other', async () => {
    expect(await fusionAuth(user, { typ: 'at+jwt' })).toBe('wrong_type');
    expect(await fusionAuth(user, { typ: undefined })).toBe('wrong_type');
  });
});

describe('the preset supertokens', () => {
  const issuer = 'https://api.shop.example/auth';
  const session: Json = {
    iss: issuer,
    sub: 'fa7a0841-b533-4478-9553-0fde890c3483',
    rsub: 'fa7a0841-b533-4478-9553-0fde890c3483',
    tId: 'public',
    sessionHandle: '1f9d2b0c-3e8d-4a52-8f3e-6a1c5d9b7e21',
    refreshTokenHash1: '5f8e0c3d',
    parentRefreshTokenHash1: null,
    antiCsrfToken: null,
    'st-ev': { t: 1_763_969_000_000, v: true },
    'st-role': { t: 1_763_969_000_000, v: ['buyer'] },
  };
  const superTokens = (claims: Json, header: Json = { version: '5' }) =>
    judge(sign(claims, { typ: 'JWT', ...header }), 'supertokens', { issuer, audiences: 'any' });

  it('reads a session’s token: the session is its handle, which stays through rotation', async () => {
    const read = { session: session['sessionHandle'], subject: session['sub'], clientId: undefined };
    expect(await superTokens(session)).toMatchObject(read);
    const rotated = { ...session, refreshTokenHash1: '77aa', parentRefreshTokenHash1: '5f8e0c3d' };
    expect(await superTokens(rotated)).toMatchObject(read);
    expect(await superTokens({ ...session, tId: undefined }, { version: '3' })).toMatchObject(read);
  });

  const oauth: Json = {
    iss: issuer,
    aud: ['stcl_web'],
    client_id: 'stcl_web',
    sub: session['sub'],
    rsub: session['rsub'],
    tId: 'public',
    sessionHandle: session['sessionHandle'],
    gid: '0b6c1d0e-77a8-4d0f-9f0e-2f6f1f1e5c11',
    jti: '3f6b7c1e-2f0a-4a55-9d6e-b3f7a4f1c0de',
    scp: ['openid', 'offline_access'],
    stt: 1,
  };
  it('reads a token of the OAuth recipe', async () => {
    expect(await superTokens(oauth, {})).toEqual({
      session: session['sessionHandle'],
      subject: session['sub'],
      clientId: 'stcl_web',
      scopes: ['openid', 'offline_access'],
    });
  });

  it('takes a service’s own token, whose subject is the client', async () => {
    const service = { ...oauth, sub: 'stcl_job', client_id: 'stcl_job', sessionHandle: undefined };
    expect(await superTokens(service, {})).toMatchObject({ session: undefined, clientId: 'stcl_job' });
  });

  it('refuses an ID token, and a JWT that is of no session', async () => {
    const id: Json = {
      iss: issuer,
      aud: ['stcl_web'],
      sub: session['sub'],
      sid: '9d1f1b7a-9f3a-4a39-8fb0-f1a1a0e8d1c2',
      at_hash: 'fPlsvVszI29LU2UhDyJ9vg',
      stt: 2,
    };
    expect(await superTokens(id, {})).toBe('wrong_type');
    expect(await superTokens({ iss: issuer, sub: 'service', source: 'microservice' }, {})).toBe(
      'missing_claim',
    );
  });
});

describe('the presets', () => {
  it('are those that may be configured', () => {
    expect(Object.keys(presets)).toEqual([...presetNames]);
  });
});
