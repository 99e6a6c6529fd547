import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { withoutCookies } from '../../src/check/cookies.ts';
import { createReservedHeaders, fold } from '../../src/check/reserved-headers.ts';
import { headerValue } from '../../src/check/upstream-identity.ts';
import { goodToken, requestOf, testCheck, upstreamDefaults } from './fixtures.ts';

describe('a claim as a header value', () => {
  it.each([
    ['user-1', 'user-1'],
    ['a b', 'a b'],
    ['50%', '50%25'],
    ['é', '%C3%A9'],
    ['日本', '%E6%97%A5%E6%9C%AC'],
    ['😀', '%F0%9F%98%80'],
    ['a\r\nx-auth-role: admin', 'a%0D%0Ax-auth-role: admin'],
    ['\0', '%00'],
    ['\t', '%09'],
    ['\x7f', '%7F'],
    [' a ', '%20a%20'],
    ['  ', '%20%20'],
    [['read', 'write'], 'read write'],
    [['admin user', 'x'], 'admin%20user x'],
    [['é', 1, true], '%C3%A9 1 true'],
    [[{ a: 1 }], '{"a":1}'],
    [{ a: ['é'] }, '{"a":["%C3%A9"]}'],
    [7, '7'],
    [false, 'false'],
    [[], undefined],
    ['', undefined],
    [null, undefined],
    [undefined, undefined],
  ])('%j becomes %j', (claim, expected) => {
    expect(headerValue(claim)).toBe(expected);
  });

  it('is printable ASCII without spaces at its ends, and decodes to the very text', () => {
    const property = fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
      const value = headerValue(text);
      if (value === undefined) return text === '';
      return /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(value) && decodeURIComponent(value) === text;
    });
    expect(() => fc.assert(property, { numRuns: 2000 })).not.toThrow();
  });

  it('with a long run of spaces within takes no time worth mentioning', () => {
    const startedMs = performance.now();
    expect(headerValue(`a${' '.repeat(40_000)}b`)).toHaveLength(40_002);
    // In quadratic time it would be more than a second.
    expect(performance.now() - startedMs).toBeLessThan(300);
  });

  it('made of a list splits into the very items', () => {
    const items = fc.array(fc.string({ unit: 'grapheme', minLength: 1 }), { minLength: 1, maxLength: 5 });
    const property = fc.property(items, (list) => {
      const decoded = headerValue(list)?.split(' ').map(decodeURIComponent);
      return JSON.stringify(decoded) === JSON.stringify(list);
    });
    expect(() => fc.assert(property, { numRuns: 1000 })).not.toThrow();
  });
});

describe('a 64-bit account number', () => {
  const headers = { 'x-auth-account': 'account', 'x-auth-places': 'places' };
  const told = async (account: string): Promise<readonly (readonly [string, string])[]> => {
    const claims = {
      account: JSON.rawJSON(account),
      places: [JSON.rawJSON(account), { of: JSON.rawJSON(account) }],
    };
    const check = testCheck({ upstream: { ...upstreamDefaults, headers } });
    const decision = await check.decide({ token: goodToken({ claims }) });
    return decision.kind === 'allow' ? decision.upstream.set : [];
  };

  it.each(['6917529027641081857', '-6917529027641081857', '340282366920938463463374607431768211457'])(
    'reaches the upstream digit for digit: %s',
    async (account) => {
      expect(await told(account)).toEqual([
        ['x-auth-account', account],
        ['x-auth-places', `${account} {"of":${account}}`],
      ]);
    },
  );

  it('is not the header of its neighbour', async () => {
    expect(await told('6917529027641081857')).not.toEqual(await told('6917529027641081858'));
  });
});

describe('the headers for the upstream', () => {
  it('sets no header for an absent claim, and removes the one that the client sent', async () => {
    const token = goodToken({ claims: { scope: undefined } });
    const decision = await testCheck().decide({ token, headers: { 'x-auth-scopes': 'admin' } });
    expect(decision.kind === 'allow' && decision.upstream.set.map(([name]) => name)).toEqual([
      'x-auth-subject',
      'x-auth-session',
      'x-auth-issuer',
    ]);
    expect(decision.remove).toEqual(['x-auth-scopes']);
  });

  it('is all of a value or nothing: a longer one than 4 kB denies, and is counted', async () => {
    const upstream = { ...upstreamDefaults, headers: { 'x-auth-note': 'note' } };
    const check = testCheck({ upstream });
    const noted = (length: number): string => goodToken({ claims: { note: 'n'.repeat(length) } });
    expect(await check.decide({ token: noted(4096) })).toMatchObject({ kind: 'allow' });
    expect(await check.decide({ token: noted(4097) })).toMatchObject({
      reason: 'malformed_token',
      detail: { claim: 'note' },
    });
    const { values } = await check.metrics.upstreamValuesDropped.get();
    expect(values).toMatchObject([{ labels: { cause: 'too_long' }, value: 1 }]);
  });

  it('takes no claim from the prototype of an object', async () => {
    const upstream = {
      ...upstreamDefaults,
      headers: { 'x-auth-odd': 'constructor', 'x-auth-proto': '__proto__' },
    };
    const decision = await testCheck({ upstream }).decide();
    expect(decision.kind === 'allow' && decision.upstream.set).toEqual([]);
  });
});

describe('the reserved prefix', () => {
  const reserved = createReservedHeaders({
    prefix: 'x-auth-',
    credentials: [],
    names: ['x-auth-subject'],
  });
  const removed = (...names: readonly string[]) =>
    reserved(
      requestOf({ token: undefined, headers: Object.fromEntries(names.map((name) => [name, 'v'])) }),
      [],
    );

  it.each([
    'x-auth-role',
    'x-auth-',
    'x_auth_role',
    'x-auth_role',
    'x_auth-role',
    'X-Auth-Role',
    'X_AUTH_SUBJECT',
    'x.auth.role',
    'x_auth_subject',
  ])('covers %s', (name) => {
    expect(removed(name)).toEqual([name]);
  });

  it.each(['x-authority', 'x-aut', 'xauth-role', 'x-authrole', 'my-x-auth-role', ''])(
    'does not cover %s',
    (name) => {
      expect(removed(name)).toEqual([]);
    },
  );

  it('leaves what we set ourselves to be overwritten: Envoy removes after it sets', () => {
    expect(removed('x-auth-subject', 'x-auth-other')).toEqual(['x-auth-other']);
  });

  it('covers exactly the names that fold to it', () => {
    const names = fc.oneof(
      fc.string({ maxLength: 20 }),
      fc
        .array(fc.constantFrom('x', 'X', 'auth', 'AUTH', '-', '_', '.', 'a'), { maxLength: 8 })
        .map((parts) => parts.join('')),
    );
    const property = fc.property(
      names,
      (name) => (removed(name).length === 1) === fold(name).startsWith('x-auth-'),
    );
    expect(() => fc.assert(property, { numRuns: 2000 })).not.toThrow();
  });

  it('is taken away with every decision', async () => {
    const headers = { x_auth_role: 'root' };
    for (const token of [goodToken(), undefined, 'garbage'])
      expect((await testCheck().decide({ token, headers })).remove).toContain('x_auth_role');
    const optional = { 'curfew.access': 'optional' };
    expect((await testCheck().decide({ token: undefined, headers, route: optional })).remove).toContain(
      'x_auth_role',
    );
    expect((await testCheck().decide({ headers, route: { 'curfew.x': 'y' } })).remove).toContain(
      'x_auth_role',
    );
    expect((await testCheck({ isReady: () => false }).decide({ headers })).remove).toContain('x_auth_role');
  });
});

describe('another spelling of a header that tokens come in', () => {
  const sources = [{ header: 'authorization' }, { header: 'x-api-key' }, { header: 'legacy.key' }];
  const spellings = ['x_api_key', 'x.api-key', 'x-api_key', 'legacy-key', 'legacy_key'];
  const others = ['x-api-keys', 'xapikey', 'x-api', 'x--api-key', 'legacy.keys', 'authorizations'];
  const headers = Object.fromEntries([...spellings, ...others].map((name) => [name, 'Bearer forged']));

  it.each([true, false])(
    'is taken away with every decision, with forwardAuthorization: %s',
    async (forwards) => {
      const upstream = { ...upstreamDefaults, forwardAuthorization: forwards };
      const check = testCheck({ sources, upstream });
      const optional = { 'curfew.access': 'optional' };
      for (const request of [
        { headers },
        { headers, token: undefined, route: optional },
        { headers, token: undefined },
        { headers, token: 'garbage' },
        { headers, route: { 'curfew.x': 'y' } },
      ]) {
        const { remove } = await check.decide(request);
        expect(remove).toEqual(expect.arrayContaining(spellings));
        expect(remove.filter((name) => others.includes(name))).toEqual([]);
      }
    },
  );

  it('is not the header itself, which the service gets as before', async () => {
    const check = testCheck({ sources });
    const decision = await check.decide({
      token: undefined,
      headers: { 'x-api-key': `Bearer ${goodToken()}` },
    });
    expect(decision).toMatchObject({ kind: 'allow', remove: [] });
  });

  it('is not one of two sources that are spellings of each other', async () => {
    const check = testCheck({ sources: [{ header: 'x-api-key' }, { header: 'x_api_key' }] });
    const token = `Bearer ${goodToken()}`;
    const both = { 'x-api-key': token, x_api_key: token, 'x.api.key': token };
    expect(await check.decide({ token: undefined, headers: both })).toMatchObject({
      kind: 'allow',
      remove: ['x.api.key'],
    });
  });

  it('is exactly what folds to the same name', () => {
    const removed = createReservedHeaders({ prefix: 'x-auth-', credentials: ['a-b.c'], names: [] });
    const names = fc.oneof(
      fc.string({ maxLength: 6 }),
      fc
        .tuple(fc.constantFrom('-', '_', '.', '+', '0'), fc.constantFrom('-', '.', '_', 'd'))
        .map(([one, two]) => `a${one}b${two}c`),
    );
    const property = fc.property(names, (name) => {
      const request = requestOf({ token: undefined, headers: { [name]: 'v' } });
      const isOther = fold(name) === 'a-b-c' && name !== 'a-b.c';
      return (removed(request, []).length === 1) === isOther;
    });
    expect(() => fc.assert(property, { numRuns: 2000 })).not.toThrow();
  });
});

describe('cookies', () => {
  it.each([
    [['a=b; session=x; c=d'], 'a=b; c=d'],
    [['session=x'], ''],
    [['session=x; session=y'], ''],
    [['session=x', 'a=b'], 'a=b'],
    [['a=b; '], undefined],
    [['a=session=x'], undefined],
    [['Session=x'], undefined],
    [['session'], undefined],
  ])('%j without session are %j', (values, expected) => {
    expect(withoutCookies(values, ['session'])).toBe(expected);
  });
});
