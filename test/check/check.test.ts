import { describe, expect, it } from 'vitest';
import type { Revocations } from '../../src/revocation/revocable.ts';
import { testVerifier, trusted } from '../token/fixtures.ts';
import { issueToken, testKey, testNow, testSecret } from '../token/tokens.ts';
import { always, goodToken, testCheck, upstreamDefaults } from './fixtures.ts';

describe('a request with a good token', () => {
  it('is allowed, and the upstream learns who calls', async () => {
    const decision = await testCheck().decide();
    expect(decision).toMatchObject({
      kind: 'allow',
      token: { subject: 'user-1' },
      upstream: {
        set: [
          ['x-auth-subject', 'user-1'],
          ['x-auth-session', 'grant-1'],
          ['x-auth-issuer', 'https://issuer.test'],
          ['x-auth-scopes', 'read write'],
        ],
        metadata: {
          sub: 'user-1',
          session: 'grant-1',
          iss: 'https://issuer.test',
          scopes: ['read', 'write'],
          exp: testNow + 60,
        },
      },
      remove: [],
    });
  });

  it('is decided synchronously once its token was verified', async () => {
    const key = testKey('ES256');
    const check = testCheck({ verifier: testVerifier([trusted({}, key)]) });
    const token = goodToken({ key });
    const first = check.decideNow({ token });
    expect(first).toBeInstanceOf(Promise);
    await first;
    expect(check.decideNow({ token })).toMatchObject({ kind: 'allow' });
  });

  it('is checked again although its token is cached: by revocation, audience, scopes and time', async () => {
    let revoked = false;
    const revocations: Revocations = {
      evaluate: () => (revoked ? { kind: 'revoked', by: 'session', reason: 'logout' } : { kind: 'clear' }),
    };
    const check = testCheck({ revocations });
    const token = goodToken();
    await check.decide({ token });
    expect(check.decideNow({ token, route: { 'curfew.audience': 'billing' } })).toMatchObject({
      reason: 'wrong_audience',
    });
    expect(check.decideNow({ token, route: { 'curfew.scopes': 'admin' } })).toMatchObject({
      reason: 'insufficient_scope',
    });
    expect(check.decideNow({ token })).toMatchObject({ kind: 'allow' });
    expect(check.decideNow({ token, route: { 'curfew.scopes': 'admin' } })).toMatchObject({
      reason: 'insufficient_scope',
    });
    expect(check.decideNow({ token, route: { 'curfew.scopes': 'read' } })).toMatchObject({ kind: 'allow' });
    expect(check.decideNow({ token, route: { 'curfew.scopes': 'admin' } })).toMatchObject({
      reason: 'insufficient_scope',
    });
    revoked = true;
    expect(check.decideNow({ token })).toMatchObject({ reason: 'revoked', token: { session: 'grant-1' } });
    revoked = false;
    expect(check.decideNow({ token })).toMatchObject({ kind: 'allow' });
    check.verifier.clock.nowSeconds += 65;
    expect(check.decideNow({ token })).toMatchObject({ reason: 'expired' });
  });
});

describe('two checks with one verifier', () => {
  it('keep their decisions apart', async () => {
    const verifier = testVerifier();
    const one = testCheck({ verifier });
    const two = testCheck({ verifier, upstream: { ...upstreamDefaults, headers: { 'x-auth-user': 'sub' } } });
    const token = goodToken();
    const first = await one.decide({ token });
    const user = { upstream: { set: [['x-auth-user', 'user-1']] } };
    expect(two.decideNow({ token })).toMatchObject(user);
    expect(one.decideNow({ token })).toEqual(first);
    expect(two.decideNow({ token })).toMatchObject(user);
  });
});

describe('a decision about a cached token', () => {
  it('is the same object for equal requests, and another one where more has to be removed', async () => {
    const check = testCheck();
    const token = goodToken();
    const first = await check.decide({ token });
    expect(check.decideNow({ token })).toBe(first);
    const stripped = check.decideNow({ token, headers: { x_auth_role: 'admin' } });
    expect(stripped).toMatchObject({ kind: 'allow', remove: ['x_auth_role'] });
    expect(check.decideNow({ token })).toBe(first);
  });
});

describe('the order of the rules', () => {
  const misconfigured = { 'curfew.access': 'maybe' };

  it('begins with the HTTP attributes', () => {
    const check = testCheck({ isReady: () => false });
    expect(check.undecidable()).toMatchObject({ kind: 'deny', reason: 'misconfigured_route' });
  });

  it('goes on with the route', () => {
    const check = testCheck({ isReady: () => false });
    expect(check.decideNow({ route: misconfigured, token: undefined })).toMatchObject({
      reason: 'misconfigured_route',
    });
  });

  it('then readiness, on optional routes too', () => {
    const check = testCheck({ isReady: () => false });
    expect(check.decideNow({ token: undefined })).toMatchObject({ reason: 'not_ready' });
    expect(check.decideNow({ token: undefined, route: { 'curfew.access': 'optional' } })).toMatchObject({
      reason: 'not_ready',
    });
  });

  it('then the token, then revocation, then audience, then scopes', async () => {
    const revoked = testCheck({ revocations: always({ kind: 'revoked', by: 'issuer', reason: undefined }) });
    const nothing = { route: { 'curfew.audience': 'other', 'curfew.scopes': 'admin' } };
    expect(await revoked.decide({ ...nothing, token: 'x.y.z' })).toMatchObject({ reason: 'malformed_token' });
    expect(await revoked.decide(nothing)).toMatchObject({ reason: 'revoked' });
    expect(await testCheck().decide(nothing)).toMatchObject({ reason: 'wrong_audience' });
    expect(await testCheck().decide({ route: { 'curfew.scopes': 'admin' } })).toMatchObject({
      reason: 'insufficient_scope',
    });
  });
});

describe('a request without a token', () => {
  it('is denied with no_token', async () => {
    expect(await testCheck().decide({ token: undefined })).toMatchObject({
      kind: 'deny',
      reason: 'no_token',
    });
    expect(
      await testCheck().decide({ token: undefined, headers: { authorization: 'Basic dXNlcjpwYXNz' } }),
    ).toMatchObject({ reason: 'no_token' });
  });

  it('is allowed as anonymous on an optional route, without headers that name a user', async () => {
    const decision = await testCheck().decide({
      token: undefined,
      route: { 'curfew.access': 'optional' },
      headers: { 'x-auth-subject': 'admin', x_auth_roles: 'root' },
    });
    expect(decision).toEqual({
      kind: 'allow',
      token: undefined,
      upstream: { set: [], metadata: undefined },
      remove: ['x-auth-subject', 'x-auth-session', 'x-auth-issuer', 'x-auth-scopes', 'x_auth_roles'],
    });
  });
});

describe('a bad credential', () => {
  it.each([
    ['required', {}],
    ['optional', { 'curfew.access': 'optional' }],
  ])('is refused on a route with access %s', async (_, route) => {
    const check = testCheck();
    expect(await check.decide({ token: 'garbage', route })).toMatchObject({ reason: 'malformed_token' });
    expect(await check.decide({ token: '', route })).toMatchObject({ reason: 'malformed_token' });
    expect(
      await check.decide({ token: undefined, headers: { authorization: ['Bearer a', 'Bearer b'] }, route }),
    ).toMatchObject({ reason: 'multiple_tokens' });
    expect(await check.decide({ token: goodToken({ lifetimeSeconds: 3600 }), route })).toMatchObject({
      reason: 'lifetime_too_long',
    });
  });

  it('longer than the bound is refused unread', async () => {
    expect(await testCheck().decide({ token: 'a'.repeat(20_000) })).toMatchObject({
      reason: 'malformed_token',
      detail: { claim: 'authorization', found: 'longer than 16512 bytes' },
    });
    expect(await testCheck().decide({ token: 'a'.repeat(9000) })).toMatchObject({
      detail: { claim: 'token', expected: 'at most 8192 bytes' },
    });
  });

  it('is reported with the issuer and kid that it names, as far as they are known', async () => {
    const forged = goodToken({ key: { ...testKey('RS256', 'impostor'), kid: testKey().kid } });
    expect(await testCheck().decide({ token: forged })).toMatchObject({
      reason: 'bad_signature',
      token: undefined,
      origin: { issuer: 'https://issuer.test', keyId: 'key-RS256' },
    });
  });
});

describe('revocation', () => {
  it.each([
    [{ kind: 'revoked', by: 'session', reason: 'logout' } as const, 'revoked'],
    [{ kind: 'unproven' } as const, 'freshness_unproven'],
    [{ kind: 'outlives_log' } as const, 'lifetime_too_long'],
  ])('that finds %j denies', async (finding, reason) => {
    expect(await testCheck({ revocations: always(finding) }).decide()).toMatchObject({
      kind: 'deny',
      reason,
    });
  });

  it('receives the token, the limits of issuer and route, and the time', async () => {
    const asked: unknown[] = [];
    const check = testCheck({
      revocations: {
        evaluate: (token, limits, nowMs) => {
          asked.push([token.session, token.keyNames[1], limits, nowMs]);
          return { kind: 'clear' };
        },
      },
    });
    await check.decide();
    await check.decide({ route: { 'curfew.max-exposure': '10s' } });
    const limits = { maxExposureMs: 30_000, clockToleranceSeconds: 5 };
    expect(asked).toEqual([
      ['grant-1', 'key-RS256', limits, testNow * 1000],
      ['grant-1', 'key-RS256', { ...limits, maxExposureMs: 10_000 }, testNow * 1000],
    ]);
  });

  it('is evaluated after the signature was verified, with the time of that moment', async () => {
    const clocks: number[] = [];
    const key = testKey('ES256');
    const check = testCheck({
      verifier: testVerifier([trusted({}, key)]),
      revocations: {
        evaluate: (_token, _limits, nowMs) => {
          clocks.push(nowMs);
          return { kind: 'clear' };
        },
      },
    });
    const decision = check.decideNow({ token: goodToken({ key }) });
    check.verifier.clock.nowSeconds += 2;
    await decision;
    expect(clocks).toEqual([(testNow + 2) * 1000]);
  });

  it('is not evaluated for an issuer without revocation, nor where revocation is not configured', async () => {
    const revoked = always({ kind: 'revoked', by: 'session', reason: undefined });
    const exempt = testVerifier([trusted({ revocation: 'none' })]);
    expect(await testCheck({ verifier: exempt, revocations: revoked }).decide()).toMatchObject({
      kind: 'allow',
    });
    expect(await testCheck({ revocations: undefined }).decide()).toMatchObject({ kind: 'allow' });
  });
});

describe('the audience', () => {
  it.each([
    [['orders'], {}, undefined],
    ['orders', {}, undefined],
    [['a', 'orders'], {}, undefined],
    [['Orders'], {}, 'wrong_audience'],
    [['a'], {}, 'wrong_audience'],
    [[], {}, 'missing_claim'],
    [undefined, {}, 'missing_claim'],
    [['orders'], { 'curfew.audience': 'billing' }, 'wrong_audience'],
    [['billing'], { 'curfew.audience': 'billing' }, undefined],
    [['any'], { 'curfew.audience': 'billing' }, 'wrong_audience'],
  ])('%j on a route with %j', async (aud, route, reason) => {
    const decision = await testCheck().decide({ token: goodToken({ claims: { aud } }), route });
    expect(decision.kind === 'deny' ? decision.reason : undefined).toBe(reason);
  });

  it('of any kind passes only where that was said, and a route may still ask for one', async () => {
    const check = testCheck({ verifier: testVerifier([trusted({ audiences: 'any' })]) });
    const token = goodToken({ claims: { aud: undefined } });
    expect(await check.decide({ token })).toMatchObject({ kind: 'allow' });
    expect(await check.decide({ token, route: { 'curfew.audience': 'any' } })).toMatchObject({
      reason: 'missing_claim',
    });
  });
});

describe('the scopes of a route', () => {
  it.each([
    ['read', undefined],
    ['read write', undefined],
    ['write read', undefined],
    ['read admin', 'insufficient_scope'],
    ['READ', 'insufficient_scope'],
  ])('%j are all required', async (scopes, reason) => {
    const decision = await testCheck().decide({ route: { 'curfew.scopes': scopes } });
    expect(decision.kind === 'deny' ? decision.reason : undefined).toBe(reason);
  });

  it('are named in the refusal, for the challenge', async () => {
    expect(await testCheck().decide({ route: { 'curfew.scopes': 'admin  read' } })).toMatchObject({
      reason: 'insufficient_scope',
      requiredScopes: 'admin read',
      detail: { claim: 'scope', expected: 'admin read', found: 'read write' },
    });
  });

  it('are not made of two halves of an item in the list of the token', async () => {
    const token = goodToken({ claims: { scope: ['read write'] } });
    expect(await testCheck().decide({ token, route: { 'curfew.scopes': 'read' } })).toMatchObject({
      reason: 'insufficient_scope',
    });
  });
});

describe('the token in a cookie', () => {
  const options = { sources: [{ header: 'authorization' }, { cookie: 'session' }] };

  it('opens as well as in the header', async () => {
    const headers = { cookie: `theme=dark; session=${goodToken()}` };
    expect(await testCheck(options).decide({ token: undefined, headers })).toMatchObject({ kind: 'allow' });
  });

  it('next to another in the header is refused', async () => {
    const headers = { cookie: `session=${goodToken({ claims: { jti: 'other' } })}` };
    expect(await testCheck(options).decide({ headers })).toMatchObject({ reason: 'multiple_tokens' });
  });

  it('is kept from the upstream where credentials are not forwarded, other cookies are not', async () => {
    const upstream = { ...upstreamDefaults, forwardAuthorization: false };
    const check = testCheck({ ...options, upstream });
    const token = goodToken();
    const kept = await check.decide({ token: undefined, headers: { cookie: `a=b; session=${token}; c=d` } });
    expect(kept.kind === 'allow' && kept.upstream.set.at(-1)).toEqual(['cookie', 'a=b; c=d']);
    expect(kept.remove).toEqual(['authorization']);
    const only = await check.decide({ token: undefined, headers: { cookie: `session=${token}` } });
    expect(only.remove).toEqual(['authorization', 'cookie']);
    const none = await check.decide({ token, headers: { cookie: 'a=b' } });
    expect(none.kind === 'allow' && none.upstream.set.map(([name]) => name)).not.toContain('cookie');
  });
});

describe('credentials', () => {
  it('in a signature verified synchronously is denied and logged, and does not count as pending', async () => {
    const rsa = testKey('RS256');
    // An HMAC with a public key: such a key never gets here, and node:crypto throws.
    const misfit = {
      kid: 'misfit',
      keyId: 'misfit',
      thumbprint: 'misfit',
      names: ['misfit'],
      key: rsa.publicKey,
    };
    const { rules, keySet } = trusted({ algorithms: ['HS256', 'RS256'] }, rsa);
    const find: typeof keySet.find = (kid, algorithm) =>
      algorithm === 'HS256'
        ? { kind: 'found', key: { ...misfit, algorithms: ['HS256'] } }
        : keySet.find(kid, algorithm);
    const verifier = testVerifier([{ rules, keySet: { ...keySet, find } }], { maxPendingVerifications: 1 });
    const check = testCheck({ verifier });
    const secret = { bytes: testSecret, algorithm: 'HS256', kid: 'misfit' } as const;
    for (let count = 0; count < 3; count += 1)
      expect(check.decideNow({ token: goodToken({ secret }) })).toMatchObject({ reason: 'internal_error' });
    expect(check.log.lines()).toHaveLength(3);
    expect(await check.decide({ token: goodToken({ key: rsa }) })).toMatchObject({ kind: 'allow' });
  });

  it('are forwarded unless it is said otherwise', async () => {
    expect((await testCheck().decide()).remove).toEqual([]);
    const upstream = { ...upstreamDefaults, forwardAuthorization: false };
    expect((await testCheck({ upstream }).decide()).remove).toEqual(['authorization']);
    expect((await testCheck({ upstream }).decide({ token: 'garbage' })).remove).toContain('authorization');
  });
});

describe('a fault inside the check', () => {
  const broken: Revocations = {
    evaluate: () => {
      throw new Error('the moon is full');
    },
  };

  it('denies, synchronously or not, and never allows', async () => {
    const key = testKey('ES256');
    const check = testCheck({ revocations: broken, verifier: testVerifier([trusted({}, key)]) });
    const token = goodToken({ key });
    const headers = { 'x-auth-subject': 'admin', 'x-auth-other': 'x' };
    const denied = { kind: 'deny', reason: 'internal_error', detail: undefined };
    const first = check.decideNow({ token, headers });
    expect(first).toBeInstanceOf(Promise);
    expect(await first).toMatchObject(denied);
    expect(check.decideNow({ token, headers })).toMatchObject({
      ...denied,
      remove: expect.arrayContaining(['x-auth-subject', 'x-auth-other']) as unknown,
    });
  });

  it('keeps its message in the log', async () => {
    const check = testCheck({ revocations: broken });
    expect(JSON.stringify(await check.decide())).not.toContain('moon');
    expect(check.log.text()).toContain('the moon is full');
    expect(check.log.text()).not.toContain('eyJ');
  });
});

describe('the keys of an issuer that could not be loaded', () => {
  it('deny its tokens, not those of others', async () => {
    const missing = trusted({ issuer: 'https://other.test' });
    const keySet = { ...missing.keySet, find: () => ({ kind: 'unavailable' }) as const };
    const check = testCheck({ verifier: testVerifier([trusted(), { ...missing, keySet }]) });
    const other = issueToken({ now: testNow, claims: { iss: 'https://other.test' } });
    expect(await check.decide({ token: other })).toMatchObject({ reason: 'keys_unavailable' });
    expect(await check.decide()).toMatchObject({ kind: 'allow' });
  });
});
