import { describe, expect, it } from 'vitest';
import { decodeToken, explainToken } from '../../src/check/explain.ts';
import { createCheck } from '../../src/check/check.ts';
import { capturedLog, testMetrics, testVerifier } from '../token/fixtures.ts';
import { testNow } from '../token/tokens.ts';
import { goodToken, upstreamDefaults } from './fixtures.ts';

const verifier = testVerifier();
const sources = [{ header: 'authorization' }];
const check = createCheck({
  verifier,
  revocations: undefined,
  maxExposureMs: 30_000,
  sources,
  maxTokenBytes: 8192,
  upstream: upstreamDefaults,
  isReady: () => true,
  clock: verifier.clock,
  log: capturedLog().log,
  metrics: testMetrics(),
});
const explain = (token: string, route: Record<string, string> = {}) =>
  explainToken({ token, check, sources, route: new Map(Object.entries(route)) });

describe('the explanation of a token', () => {
  it('shows what it says and that it would open', async () => {
    expect(await explain(`${goodToken()}\n`)).toEqual({
      header: { alg: 'RS256', typ: 'at+jwt', kid: 'key-RS256' },
      claims: expect.objectContaining({ sub: 'user-1', grant_id: 'grant-1' }) as unknown,
      decision: 'allow',
      reason: undefined,
      rule: 'Every rule is met.',
      claim: undefined,
      expected: undefined,
      found: undefined,
    });
  });

  it.each([
    [
      { iss: 'https://issuer.test/' },
      'unknown_issuer',
      'iss',
      'https://issuer.test (byte for byte)',
      'https://issuer.test/',
    ],
    [{ aud: 'billing' }, 'wrong_audience', 'aud', 'orders', 'billing'],
    [{ grant_id: undefined }, 'missing_claim', 'grant_id', 'present', 'absent'],
    [
      { exp: testNow + 900 },
      'lifetime_too_long',
      'exp',
      'at most 300 s after iat (maxTokenLifetime)',
      '900 s',
    ],
    [{ iat: testNow - 60, exp: testNow - 5 }, 'expired', 'exp', `after ${testNow - 5}`, `${testNow - 5}`],
    [{ sub: '' }, 'malformed_token', 'sub', 'a text of 1 to 256 characters', '0 characters'],
  ])(
    'names the rule that said no, with the claim and the value it wanted: %j',
    async (claims, reason, claim, expected, found) => {
      const explanation = await explain(goodToken({ claims }));
      expect(explanation).toMatchObject({ decision: 'deny', reason, claim, expected, found });
      expect(explanation.rule).not.toBe('');
    },
  );

  it('applies the policy of a route', async () => {
    expect(await explain(goodToken(), { 'curfew.scopes': 'admin' })).toMatchObject({
      reason: 'insufficient_scope',
      expected: 'admin',
      found: 'read write',
    });
  });

  it('never shows the signature', async () => {
    const token = goodToken();
    const signature = token.split('.')[2] ?? '';
    expect(JSON.stringify(await explain(token))).not.toContain(signature.slice(0, 20));
    const spoiled = `${token.slice(0, -6)}AAAAAA`;
    expect(JSON.stringify(await explain(spoiled))).not.toContain(signature.slice(0, 20));
  });

  it.each(['', 'hello', 'a.b.c', '...', 'eyJ9.eyJ9.eyJ9', '\0', 'é.é.é'])(
    'is had for %j too',
    async (token) => {
      expect(await explain(token)).toMatchObject({ decision: 'deny', header: undefined, claims: undefined });
    },
  );
});

describe('a token read without judging it', () => {
  it('gives the parts that can be read', () => {
    expect(decodeToken(`${goodToken().split('.')[0]}.x`)).toMatchObject({
      header: { alg: 'RS256' },
      claims: undefined,
    });
  });
});
