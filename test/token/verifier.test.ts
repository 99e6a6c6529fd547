import { describe, expect, it } from 'vitest';
import { issuerRules } from '../../src/token/issuer-rules.ts';
import { parseJwkSet } from '../../src/token/jwk-set.ts';
import { createKeyRing, findKey, type KeyRing } from '../../src/token/key-lookup.ts';
import { type KeySet } from '../../src/token/key-set.ts';
import { createFixedKeySet } from './fixed-key-set.ts';
import { testMetrics, testVerifier, trusted } from './fixtures.ts';
import { issueToken, jwkSetOf, testIssuer, testKey, testNow, type TestKey } from './tokens.ts';

const rules = issuerRules({ issuer: testIssuer, audiences: ['orders'] });
const ringOf = (keys: readonly TestKey[], previous?: KeyRing): KeyRing =>
  createKeyRing(parseJwkSet(jwkSetOf(...keys), rules.algorithms).keys, previous);

/** A key set whose keys the test changes, and whose refresh it answers. */
function changeableKeys(...keys: readonly TestKey[]) {
  let ring = ringOf(keys);
  let usable = true;
  const refresh = Promise.withResolvers<void>();
  let refreshes = 0;
  const keySet: KeySet = {
    ...createFixedKeySet([]),
    find: (kid, algorithm) => (usable ? findKey(ring, kid, algorithm) : { kind: 'unavailable' }),
    vouchesFor: (key) => usable && ring.keys.has(key),
    isUsable: () => usable,
    refreshForUnknownKey: () => {
      refreshes += 1;
      return refresh.promise;
    },
  };
  return {
    keySet,
    change: (...next: readonly TestKey[]) => void (ring = ringOf(next, ring)),
    expire: () => void (usable = false),
    answer: () => refresh.resolve(),
    refreshes: () => refreshes,
  };
}

describe('a flood of tokens that are not good', () => {
  it('takes no room in the cache, and evicts no good token', async () => {
    const verifier = testVerifier([trusted()], { maxCachedTokens: 2 });
    const good = issueToken({ now: testNow });
    const first = await verifier.verify(good);
    for (let index = 0; index < 50; index += 1) {
      const jti = String(index);
      const token = issueToken({ now: testNow, claims: { jti } });
      const forged = `${token.slice(0, -8)}AAAAAAAA`;
      expect(await verifier.verify(forged)).toMatchObject({ kind: 'rejected' });
      const expired = issueToken({ now: testNow - 3600, claims: { jti } });
      expect(await verifier.verify(expired)).toMatchObject({ reason: 'expired' });
      for (const bad of [forged, expired])
        expect(verifier.find(Buffer.from(bad), 0, bad.length)).toBeUndefined();
    }
    expect(verifier.verify(good)).toBe(first);
  });
});

describe('a token seen before', () => {
  it('is answered synchronously, and counted as a hit', async () => {
    const metrics = testMetrics();
    const verifier = testVerifier([trusted()], { metrics });
    const token = issueToken({ now: testNow });
    const first = await verifier.verify(token);
    expect(verifier.verify(token)).toBe(first);
    const { values } = await metrics.tokenCache.get();
    expect(values.map(({ labels, value }) => [labels.result, value])).toEqual([
      ['hit', 1],
      ['miss', 1],
    ]);
  });

  it('expires all the same, to the second', async () => {
    const verifier = testVerifier();
    const token = issueToken({ now: testNow });
    await verifier.verify(token);
    verifier.clock.nowSeconds = testNow + 64.9;
    expect(verifier.verify(token)).toMatchObject({ kind: 'verified' });
    verifier.clock.nowSeconds = testNow + 65;
    expect(verifier.verify(token)).toMatchObject({ reason: 'expired' });
  });

  it('is refused while the clock stands before its iat', async () => {
    const verifier = testVerifier();
    const token = issueToken({ now: testNow });
    await verifier.verify(token);
    verifier.clock.nowSeconds = testNow - 6;
    expect(verifier.verify(token)).toMatchObject({ reason: 'not_yet_valid' });
  });

  it('is not known by another that only begins alike', async () => {
    const verifier = testVerifier();
    const token = issueToken({ now: testNow });
    await verifier.verify(token);
    expect(await verifier.verify(`${token.slice(0, -4)}AAAA`)).toMatchObject({ reason: 'bad_signature' });
  });

  it('is refused at once when its key has left the set', async () => {
    const keys = changeableKeys(testKey('RS256', 'old'));
    const verifier = testVerifier([{ rules, keySet: keys.keySet }]);
    const token = issueToken({ now: testNow, key: testKey('RS256', 'old') });
    expect(await verifier.verify(token)).toMatchObject({ kind: 'verified' });
    keys.change(testKey('RS256', 'new'));
    keys.answer();
    expect(await verifier.verify(token)).toMatchObject({ reason: 'unknown_key' });
  });

  it('is known by its entry although it was evicted, as long as its key is in the set', async () => {
    const metrics = testMetrics();
    const keys = changeableKeys(testKey('RS256', 'old'));
    const verifier = testVerifier([{ rules, keySet: keys.keySet }], { metrics, maxCachedTokens: 2 });
    const issue = (jti: string) =>
      issueToken({ now: testNow, key: testKey('RS256', 'old'), claims: { jti } });
    const token = issue('first');
    const first = await verifier.verify(token);
    const bytes = Buffer.from(token);
    const entry = verifier.find(bytes, 0, bytes.length);
    if (entry === undefined) throw new Error('the token is not in the table');
    expect(verifier.verify(entry)).toBe(first);
    for (const jti of ['a', 'b', 'c']) await verifier.verify(issue(jti));
    expect(verifier.find(bytes, 0, bytes.length)).toBeUndefined();
    expect(verifier.verify(entry)).toBe(first);
    const { values } = await metrics.tokenCache.get();
    expect(values.map(({ labels, value }) => [labels.result, value])).toEqual([
      ['hit', 2],
      ['miss', 4],
    ]);
    verifier.clock.nowSeconds = testNow + 65;
    expect(verifier.verify(entry)).toMatchObject({ reason: 'expired' });
    verifier.clock.nowSeconds = testNow;
    keys.change(testKey('RS256', 'new'));
    keys.answer();
    expect(await verifier.verify(entry)).toMatchObject({ reason: 'unknown_key' });
    expect(entry.signed).toBeUndefined();
  });

  it('is refused when its kid now names another key', async () => {
    const keys = changeableKeys(testKey('RS256', 'k'));
    const verifier = testVerifier([{ rules, keySet: keys.keySet }]);
    const token = issueToken({ now: testNow, key: testKey('RS256', 'k') });
    await verifier.verify(token);
    const other = testKey('RS256', 'other');
    keys.change({ ...other, kid: 'k', jwk: { ...other.jwk, kid: 'k' } });
    expect(await verifier.verify(token)).toMatchObject({ reason: 'bad_signature' });
  });

  it('is refused when its key leaves the set while the signature is being verified', async () => {
    const keys = changeableKeys(testKey('ES256', 'old'));
    const verifier = testVerifier([{ rules, keySet: keys.keySet }]);
    const verification = verifier.verify(issueToken({ now: testNow, key: testKey('ES256', 'old') }));
    keys.change(testKey('ES256', 'new'));
    expect(await verification).toMatchObject({ reason: 'unknown_key', detail: { found: 'withdrawn' } });
  });

  it('stays verified through a refresh that keeps its key', async () => {
    const keys = changeableKeys(testKey('RS256', 'k'));
    const verifier = testVerifier([{ rules, keySet: keys.keySet }]);
    const token = issueToken({ now: testNow, key: testKey('RS256', 'k') });
    const first = await verifier.verify(token);
    keys.change(testKey('RS256', 'more'), testKey('RS256', 'k'));
    expect(verifier.verify(token)).toBe(first);
  });

  it('is refused once the whole key set is too old to be relied on', async () => {
    const keys = changeableKeys(testKey('RS256', 'k'));
    const verifier = testVerifier([{ rules, keySet: keys.keySet }]);
    const token = issueToken({ now: testNow, key: testKey('RS256', 'k') });
    await verifier.verify(token);
    keys.expire();
    expect(verifier.verify(token)).toMatchObject({ reason: 'keys_unavailable' });
    expect(verifier.isUsable()).toBe(false);
  });
});

describe('several issuers', () => {
  const other = 'https://other.test';
  const sameKid = testKey('RS256', 'shared');
  const otherKey = testKey('ES256', 'shared');
  const issuers = [
    trusted({}, sameKid),
    trusted({ issuer: other, sessionClaim: 'sid', types: ['JWT'], maxTokenLifetimeMs: 30_000 }, otherKey),
  ];
  const ofOther = (overrides: Record<string, unknown>, key: TestKey): string =>
    issueToken({
      now: testNow,
      key,
      header: { typ: 'JWT' },
      lifetimeSeconds: 30,
      claims: { iss: other, grant_id: undefined, sid: 's-1', ...overrides },
    });

  it('each have their own keys, though the kid is the same', async () => {
    const verifier = testVerifier(issuers);
    expect(await verifier.verify(issueToken({ now: testNow, key: sameKid }))).toMatchObject({
      token: { issuer: testIssuer },
    });
    expect(await verifier.verify(ofOther({}, otherKey))).toMatchObject({
      token: { issuer: other, session: 's-1' },
    });
  });

  it('do not vouch for each other: a token signed by one in the name of the other is refused', async () => {
    const verifier = testVerifier(issuers);
    expect(await verifier.verify(ofOther({}, sameKid))).toMatchObject({ reason: 'unknown_key' });
    expect(await verifier.verify(issueToken({ now: testNow, key: otherKey }))).toMatchObject({
      reason: 'unknown_key',
    });
  });

  it('each have their own rules', async () => {
    const verifier = testVerifier(issuers);
    expect(await verifier.verify(ofOther({ exp: testNow + 60 }, otherKey))).toMatchObject({
      reason: 'lifetime_too_long',
    });
    expect(verifier.verify(issueToken({ now: testNow, key: sameKid, header: { typ: 'JWT' } }))).toMatchObject(
      {
        reason: 'wrong_type',
      },
    );
  });

  it('have their tokens cached apart', async () => {
    const verifier = testVerifier(issuers);
    const one = issueToken({ now: testNow, key: sameKid });
    const two = ofOther({}, otherKey);
    await verifier.verify(one);
    await verifier.verify(two);
    expect(verifier.verify(one)).toMatchObject({
      token: { issuer: testIssuer },
      rules: { issuer: testIssuer },
    });
    expect(verifier.verify(two)).toMatchObject({ token: { issuer: other }, rules: { issuer: other } });
  });
});

describe('many tokens at once', () => {
  it('equal ones are verified once', async () => {
    const key = testKey('ES256');
    const verifier = testVerifier([trusted({}, key)]);
    const token = issueToken({ now: testNow, key });
    const first = verifier.verify(token);
    expect(first).toBeInstanceOf(Promise);
    expect(verifier.verify(token)).toBe(first);
    await first;
  });

  it('more than may wait are overloaded, and later ones are served again', async () => {
    const key = testKey('ES256');
    const verifier = testVerifier([trusted({}, key, testKey('RS256', 'quick'))], {
      maxPendingVerifications: 2,
    });
    const token = (jti: string): string => issueToken({ now: testNow, key, claims: { jti } });
    const [first, second] = [token('1'), token('2')] as const;
    const waiting = [first, second].map((one) => Promise.resolve(verifier.verify(one)));
    expect(verifier.verify(token('3'))).toMatchObject({ reason: 'overloaded' });
    await Promise.all(waiting);
    expect(await verifier.verify(token('3'))).toMatchObject({ kind: 'verified' });
    expect(verifier.verify(first)).toMatchObject({ kind: 'verified' });
  });

  it('whose signatures take little are answered at once, good or forged, and take no place', () => {
    const verifier = testVerifier([trusted()], { maxPendingVerifications: 2 });
    for (const jti of ['1', '2', '3']) {
      const token = issueToken({ now: testNow, claims: { jti } });
      expect(verifier.verify(token)).toMatchObject({ kind: 'verified' });
      const forged = `${token.slice(0, token.lastIndexOf('.'))}.${'A'.repeat(342)}`;
      expect(verifier.verify(forged)).toMatchObject({ reason: 'bad_signature' });
    }
  });

  it('that wait for unknown keys do not keep out those of known keys', async () => {
    const keys = changeableKeys(testKey('RS256', 'k'));
    const verifier = testVerifier([{ rules, keySet: keys.keySet }], { maxPendingVerifications: 2 });
    const known = testKey('RS256', 'k');
    const unknown = (kid: string): string => issueToken({ now: testNow, key: known, header: { kid } });
    const waiting = ['a', 'b'].map((kid) => Promise.resolve(verifier.verify(unknown(kid))));
    expect(verifier.verify(unknown('c'))).toMatchObject({ reason: 'overloaded' });
    expect(await verifier.verify(issueToken({ now: testNow, key: known }))).toMatchObject({
      kind: 'verified',
    });
    keys.answer();
    for (const verification of await Promise.all(waiting))
      expect(verification).toMatchObject({ reason: 'unknown_key' });
  });
});

describe('a token of an unknown key', () => {
  it('is accepted when the refresh that it causes brings the key', async () => {
    const keys = changeableKeys(testKey('RS256', 'old'));
    const verifier = testVerifier([{ rules, keySet: keys.keySet }]);
    const verification = verifier.verify(issueToken({ now: testNow, key: testKey('RS256', 'new') }));
    keys.change(testKey('RS256', 'new'));
    keys.answer();
    expect(await verification).toMatchObject({ kind: 'verified' });
  });

  it('without kid is tried only if exactly one key fits', async () => {
    const [one, two] = [testKey('RS256', 'one'), testKey('RS256', 'two')];
    const token = issueToken({ now: testNow, key: one, header: { kid: undefined } });
    expect(await testVerifier([trusted({}, one)]).verify(token)).toMatchObject({
      kind: 'verified',
      token: { keyId: 'one' },
    });
    expect(await testVerifier([trusted({}, one, testKey('ES256'))]).verify(token)).toMatchObject({
      kind: 'verified',
    });
    expect(testVerifier([trusted({}, one, two)]).verify(token)).toMatchObject({ reason: 'unknown_key' });
  });

  it('whose kid names two keys that fit is refused, and causes no refresh', async () => {
    const twin = testKey('RS256', 'twin');
    const keys = changeableKeys(twin, {
      ...testKey('RS256', 'x'),
      jwk: { ...testKey('RS256', 'x').jwk, kid: 'twin' },
    });
    const verifier = testVerifier([{ rules, keySet: keys.keySet }]);
    expect(verifier.verify(issueToken({ now: testNow, key: twin }))).toMatchObject({ reason: 'unknown_key' });
    expect(keys.refreshes()).toBe(0);
  });
});

describe('the clock of an issuer', () => {
  it('is watched by its freshest token', async () => {
    const metrics = testMetrics();
    const verifier = testVerifier([trusted()], { metrics });
    const ahead = async (): Promise<number | undefined> =>
      (await metrics.issuerClockAhead.get()).values[0]?.value;
    await verifier.verify(issueToken({ now: testNow - 20 }));
    expect(await ahead()).toBe(0);
    await verifier.verify(issueToken({ now: testNow + 3 }));
    expect(await ahead()).toBe(3);
    await verifier.verify(issueToken({ now: testNow + 30 }));
    expect(await ahead()).toBe(30);
    await verifier.verify(issueToken({ now: testNow - 5 }));
    expect(await ahead()).toBe(30);
  });
});
