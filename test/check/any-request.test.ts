import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { issueToken, testKey, testNow } from '../token/tokens.ts';
import { goodToken, testCheck } from './fixtures.ts';

const good = goodToken();
const bad = [
  issueToken({ now: testNow - 3600 }),
  goodToken({ key: { ...testKey('RS256', 'impostor'), kid: testKey().kid } }),
  goodToken({ claims: { aud: 'other' } }),
  goodToken({ header: { typ: 'JWT' } }),
  'garbage',
  '',
];
const tokens = fc.constantFrom(good, good, good, ...bad);
const values = fc.oneof(
  tokens.map((token) => `Bearer ${token}`),
  tokens.map((token) => `session=${token}`),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom('Basic dXNlcjpwYXNz', ''),
);
const names = fc.oneof(
  fc.constantFrom('authorization', 'cookie', 'x-auth-subject', 'x_auth_role', '__proto__'),
  fc.string({ maxLength: 12 }),
);
const headers = fc.array(fc.tuple(names, fc.array(values, { maxLength: 3 })), { maxLength: 6 });
const oddRoutes = fc.array(
  fc.tuple(
    fc.oneof(fc.constantFrom('curfew.access', 'curfew.scopes', 'curfew.audience', 'curfew.x'), fc.string()),
    fc.constantFrom('optional', 'required', 'read', 'admin', 'orders', ''),
  ),
  { maxLength: 3 },
);

const plainRoutes = fc.constantFrom<[string, string][]>([], [['curfew.access', 'optional']]);
const routes = fc.oneof(plainRoutes, oddRoutes);

/** The tokens of a request, where they stand in the plainest way. */
const credentialsOf = (given: Record<string, readonly string[]>): string[] => [
  ...(given['authorization'] ?? []).flatMap((value) => (value.startsWith('Bearer ') ? [value.slice(7)] : [])),
  ...(given['cookie'] ?? []).flatMap((value) => (/^session=./.test(value) ? [value.slice(8)] : [])),
];

const sources = [{ header: 'authorization' }, { cookie: 'session' }];

describe('whatever the request', () => {
  it('gets a decision without a fault; it is allowed only with one good token, or without a token on an optional route', async () => {
    const check = testCheck({ sources });
    const seen = { identified: 0, anonymous: 0, denied: 0 };
    const property = fc.asyncProperty(headers, routes, async (pairs, extensions) => {
      const given = Object.fromEntries(pairs);
      const route = Object.fromEntries(extensions);
      const decision = await check.decide({ token: undefined, headers: given, route });
      if (decision.kind === 'deny') {
        seen.denied += 1;
        return decision.reason !== 'internal_error';
      }
      const credentials = credentialsOf(given);
      if (decision.token === undefined) {
        seen.anonymous += 1;
        return route['curfew.access'] === 'optional' && credentials.length === 0;
      }
      seen.identified += 1;
      return credentials.length > 0 && credentials.every((token) => token === good);
    });
    await expect(fc.assert(property, { numRuns: 2000 })).resolves.toBeUndefined();
    expect(Object.values(seen).every((count) => count > 10)).toBe(true);
  });

  it('loses every header of the reserved prefix, or has it overwritten', async () => {
    const check = testCheck({ sources });
    const property = fc.asyncProperty(headers, routes, tokens, async (pairs, extensions, token) => {
      const given = Object.fromEntries(pairs);
      const decision = await check.decide({ token, headers: given, route: Object.fromEntries(extensions) });
      const set = decision.kind === 'allow' ? decision.upstream.set.map(([name]) => name) : [];
      const handled = new Set([...decision.remove, ...set]);
      const disjoint = decision.remove.every((name) => !set.includes(name));
      return disjoint && Object.keys(given).every((name) => !/^x.auth./i.test(name) || handled.has(name));
    });
    await expect(fc.assert(property, { numRuns: 1000 })).resolves.toBeUndefined();
  });
});
