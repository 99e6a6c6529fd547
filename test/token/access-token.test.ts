import { sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { IssuerOptions } from '../../src/token/issuer-rules.ts';
import type { Rejected } from '../../src/token/rejection.ts';
import { everyAsymmetric, testVerifier, trusted } from './fixtures.ts';
import { encode, issueToken, signCompact, testIssuer, testKey, testNow } from './tokens.ts';

const good = (claims?: Record<string, unknown>, header?: Record<string, unknown>): string =>
  issueToken({ now: testNow, ...(claims && { claims }), ...(header && { header }) });

async function rejection(
  token: string,
  options: Partial<IssuerOptions> = {},
): Promise<Partial<Rejected> | { reason: undefined }> {
  const verification = await testVerifier([trusted(options)]).verify(token);
  return verification.kind === 'rejected' ? verification : { reason: undefined };
}

const reasonFor = async (token: string, options: Partial<IssuerOptions> = {}) =>
  (await rejection(token, options)).reason;

describe('a good token', () => {
  it.each(everyAsymmetric)('is accepted when signed with %s and a key of the set', async (algorithm) => {
    const key = testKey(algorithm);
    const verifier = testVerifier([trusted({ algorithms: [algorithm] }, key)]);
    const verification = await verifier.verify(issueToken({ key, now: testNow }));
    expect(verification).toMatchObject({
      kind: 'verified',
      token: {
        issuer: testIssuer,
        subject: 'user-1',
        session: 'grant-1',
        tokenId: 'token-1',
        clientId: 'web',
        audiences: ['orders'],
        scopes: ['read', 'write'],
        issuedAt: testNow,
        expiresAt: testNow + 60,
        keyId: key.kid,
      },
    });
  });
});

describe('the algorithm', () => {
  it.each(everyAsymmetric)('%s is refused by an issuer that does not list it', async (algorithm) => {
    const others = everyAsymmetric.filter((other) => other !== algorithm);
    const key = testKey(algorithm);
    const verifier = testVerifier([
      trusted({ algorithms: others }, key, testKey('RS256', 'other'), testKey('ES256', 'another')),
    ]);
    expect(await verifier.verify(issueToken({ key, now: testNow }))).toMatchObject({
      reason: 'algorithm_not_allowed',
    });
  });

  it.each(['none', 'None', 'NONE', '', 'rs256', 'RS1', 'HS256', 1, null, ['RS256']])(
    'named %j is refused: the list is ours, never the header’s',
    async (alg) => {
      expect(await reasonFor(good({}, { alg }))).toBe('algorithm_not_allowed');
    },
  );

  it('left out is refused', async () => {
    expect(await reasonFor(good({}, { alg: undefined }))).toBe('algorithm_not_allowed');
  });

  it('with the algorithm none and an empty signature is rejected', async () => {
    const unsigned = `${encode('{"alg":"none","typ":"at+jwt"}')}.${good().split('.')[1]}.`;
    expect(await reasonFor(unsigned)).toBe('algorithm_not_allowed');
  });

  it('HS256 keyed with the text of the public key is refused', async () => {
    const pem = testKey().publicKey.export({ format: 'pem', type: 'spki' });
    const confused = issueToken({
      now: testNow,
      secret: { bytes: Buffer.from(pem), algorithm: 'HS256', kid: testKey().kid },
    });
    expect(await reasonFor(confused)).toBe('algorithm_not_allowed');
  });

  it.each([
    ['RS256', 'PS256'],
    ['RS256', 'RS512'],
    ['ES256', 'ES384'],
  ] as const)('must be that of the key: a %s key does not verify %s', async (own, claimed) => {
    const key = testKey(own);
    const verifier = testVerifier([trusted({ algorithms: [own, claimed] }, key)]);
    expect(await verifier.verify(issueToken({ key, now: testNow, header: { alg: claimed } }))).toMatchObject({
      reason: 'unknown_key',
    });
  });
});

describe('the signature', () => {
  it('by another key under the same kid is bad', async () => {
    const impostor = { ...testKey('RS256', 'impostor'), kid: testKey().kid };
    expect(await reasonFor(issueToken({ now: testNow, key: impostor }))).toBe('bad_signature');
  });

  it('does not cover another payload', async () => {
    const [header, , signature] = good().split('.');
    const other = encode(JSON.stringify({ iss: testIssuer, sub: 'admin' }));
    expect(await reasonFor(`${header}.${other}.${signature}`)).toBe('bad_signature');
  });

  it.each(['', 'AAAA', 'A'.repeat(342)])('%j is bad, whatever its length', async (signature) => {
    const [header, payload] = good().split('.');
    expect(await reasonFor(`${header}.${payload}.${signature}`)).toBe('bad_signature');
  });

  it('of ES256 in DER is bad: RFC 7518 has fixed-length signatures', async () => {
    const key = testKey('ES256');
    const [header, payload] = issueToken({ now: testNow, key }).split('.');
    const der = sign('sha256', Buffer.from(`${header}.${payload}`), key.privateKey).toString('base64url');
    const verifier = testVerifier([trusted({}, key)]);
    expect(await verifier.verify(`${header}.${payload}.${der}`)).toMatchObject({ reason: 'bad_signature' });
  });
});

describe('a header that asks for other keys or another reading', () => {
  it.each([
    ['crit', ['exp']],
    ['crit', []],
    ['b64', false],
    ['zip', 'DEF'],
    ['enc', 'A256GCM'],
    ['jku', 'https://evil.test/jwks'],
    ['x5u', 'https://evil.test/cert'],
    ['jwk', testKey('RS256', 'own').jwk],
    ['x5c', ['MIIB']],
    ['cty', 'JWT'],
    ['cty', 'application/jwt'],
    ['kid', 1],
    ['kid', ''],
    ['kid', 'k'.repeat(257)],
  ])('is refused: %s = %j', async (parameter, value) => {
    expect(await rejection(good({}, { [parameter]: value }))).toMatchObject({
      reason: 'malformed_token',
      detail: { claim: parameter },
    });
  });

  it('may hold what changes nothing', async () => {
    expect(await reasonFor(good({}, { x5t: 'abc', foo: 'bar', cty: 'json' }))).toBeUndefined();
  });
});

describe('the form of a token', () => {
  const [header = '', payload = '', signature = ''] = good().split('.');

  it.each([
    ['nothing', ''],
    ['dots', '..'],
    ['one part', header],
    ['two parts', `${header}.${payload}`],
    ['four parts', `${header}.${payload}.${signature}.x`],
    ['five parts, a JWE', `${header}.x.y.z.${signature}`],
    ['more parts than a JWE', '.'.repeat(4000)],
    ['white space at the end', `${header}.${payload}.${signature} `],
    ['a line end inside', `${header}.${payload.slice(0, 8)}\n${payload.slice(8)}.${signature}`],
    ['padding', `${header}.${payload}.${signature}==`],
    ['padding in the header', `${header}=.${payload}.${signature}`],
    ['the base64 alphabet', `${header}.${payload}.${signature.slice(0, -2)}+/`],
    ['a character beyond ASCII', `${header}.${payload}é.${signature}`],
    [
      'unused bits that are not zero',
      `${encode('{"alg":"RS256","typ":"at+jwt","x":1}').slice(0, -1)}R.${payload}.${signature}`,
    ],
    ['a payload that is no JSON', signCompact('{"alg":"RS256"}', 'hello', testKey())],
    ['a payload that is a list', signCompact('{"alg":"RS256"}', '[]', testKey())],
    ['a header that is a text', signCompact('"RS256"', '{}', testKey())],
    ['a claim twice', signCompact('{"alg":"RS256","typ":"at+jwt"}', '{"sub":"a","sub":"b"}', testKey())],
    ['alg twice', signCompact('{"alg":"none","alg":"RS256"}', '{}', testKey())],
    ['a deep payload', signCompact('{"alg":"RS256"}', `{"a":${'['.repeat(20)}${']'.repeat(20)}}`, testKey())],
    ['a payload in Latin-1', `${header}.${encode(Buffer.from('{"sub":"\xe9"}', 'latin1'))}.${signature}`],
    ['a byte order mark', `${header}.${encode('\uFEFF{}')}.${signature}`],
    ['a JWT inside a JWT', good({}, { cty: 'JWT' })],
  ])('is refused with %s', async (_, token) => {
    expect(await reasonFor(token)).toBe('malformed_token');
  });

  it('may be as long as the bound and no longer, and is measured first', async () => {
    const token = good();
    const exact = testVerifier([trusted()], { maxTokenBytes: token.length });
    expect(await exact.verify(token)).toMatchObject({ kind: 'verified' });
    const short = testVerifier([trusted()], { maxTokenBytes: token.length - 1 });
    expect(short.verify(token)).toMatchObject({ reason: 'malformed_token', detail: { claim: 'token' } });
  });
});

describe('the type', () => {
  it.each(['at+jwt', 'AT+JWT', 'application/at+jwt', 'Application/At+Jwt'])('%s is accepted', async (typ) => {
    expect(await reasonFor(good({}, { typ }))).toBeUndefined();
  });

  it.each([
    'JWT',
    'none',
    'logout+jwt',
    'secevent+jwt',
    'dpop+jwt',
    'text/at+jwt',
    '',
    'id_token+jwt',
    1,
    null,
  ])('%j is refused unless opted into', async (typ) => {
    expect(await reasonFor(good({}, { typ }))).toBe('wrong_type');
  });

  it('left out is refused unless opted into', async () => {
    expect(await reasonFor(good({}, { typ: undefined }))).toBe('wrong_type');
    expect(await reasonFor(good({}, { typ: undefined }), { types: ['none'] })).toBeUndefined();
  });

  it('spelled "none" is no absent type', async () => {
    expect(await reasonFor(good({}, { typ: 'none' }), { types: ['none'] })).toBe('wrong_type');
  });

  it('JWT is accepted where opted into, in any case', async () => {
    expect(await reasonFor(good({}, { typ: 'jwt' }), { types: ['JWT'] })).toBeUndefined();
  });

  it.each([
    ['at_hash', 'x'],
    ['c_hash', 'x'],
    ['nonce', 'x'],
    ['nonce', null],
    ['events', { 'http://schemas.openid.net/event/backchannel-logout': {} }],
    ['typ', 'ID'],
    ['typ', 'Refresh'],
    ['typ', 'Logout'],
    ['token_use', 'id'],
  ])(
    'JWT, with the claim %s = %j of another token, is refused: an ID token never passes',
    async (claim, value) => {
      for (const typ of ['JWT', undefined]) {
        const token = good({ [claim]: value }, { typ });
        expect(await rejection(token, { types: ['JWT', 'none'] })).toMatchObject({
          reason: 'wrong_type',
          detail: { claim },
        });
      }
    },
  );

  it.each([
    ['typ', 'Bearer'],
    ['token_use', 'access'],
    ['events', 'open-air'],
  ])('JWT, with the claim %s = %j of an access token, is accepted', async (claim, value) => {
    expect(await reasonFor(good({ [claim]: value }, { typ: 'JWT' }), { types: ['JWT'] })).toBeUndefined();
  });

  it('at+jwt leaves no doubt, whatever other claims there are', async () => {
    expect(await reasonFor(good({ nonce: 'x' }))).toBeUndefined();
  });
});

describe('a required claim', () => {
  it.each(['iss', 'sub', 'exp', 'iat', 'grant_id'])('%s is missed', async (claim) => {
    expect(await rejection(good({ [claim]: undefined }))).toMatchObject({
      reason: 'missing_claim',
      detail: { claim, found: 'absent' },
    });
  });

  it.each(['jti', 'client_id', 'scope', 'nbf'])('is not %s', async (claim) => {
    expect(await reasonFor(good({ [claim]: undefined }))).toBeUndefined();
  });
});

describe('an id', () => {
  const bad = ['', 'x'.repeat(257), 1, true, null, ['a'], {}];

  it.each(['sub', 'jti', 'client_id', 'grant_id'])('%s is a text of 1 to 256 characters', async (claim) => {
    for (const value of bad)
      expect(await rejection(good({ [claim]: value }))).toMatchObject({
        reason: 'malformed_token',
        detail: { claim },
      });
    expect(await reasonFor(good({ [claim]: 'x'.repeat(256) }))).toBeUndefined();
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf'])(
    'may be %s: it is just an id',
    async (id) => {
      const verification = await testVerifier().verify(good({ sub: id, grant_id: id, jti: id }));
      expect(verification).toMatchObject({ token: { subject: id, session: id, tokenId: id } });
    },
  );

  it('named __proto__ is a claim like any other', async () => {
    const claims = JSON.stringify({
      iss: testIssuer,
      sub: 'u',
      aud: 'orders',
      iat: testNow,
      exp: testNow + 60,
    });
    const token = signCompact(
      JSON.stringify({ alg: 'RS256', typ: 'at+jwt', kid: testKey().kid }),
      claims.replace('{', '{"__proto__":{"grant_id":"g"},'),
      testKey(),
    );
    expect(await rejection(token)).toMatchObject({ reason: 'missing_claim', detail: { claim: 'grant_id' } });
  });
});

describe('a time', () => {
  it.each(['exp', 'iat', 'nbf'])('%s is a number of seconds, and a sane one', async (claim) => {
    for (const value of [`${testNow}`, null, true, [testNow], {}, -1, 1e300, testNow * 1000, 253_402_300_800])
      expect(await rejection(good({ [claim]: value }))).toMatchObject({
        reason: 'malformed_token',
        detail: { claim },
      });
  });

  it('beyond what a number holds is refused', async () => {
    const token = signCompact(
      JSON.stringify({ alg: 'RS256', typ: 'at+jwt', kid: testKey().kid }),
      `{"iss":"${testIssuer}","sub":"u","iat":${testNow},"exp":1e400}`,
      testKey(),
    );
    expect(await reasonFor(token)).toBe('malformed_token');
  });

  it('may have a fraction', async () => {
    expect(await reasonFor(good({ iat: testNow - 0.5, exp: testNow + 0.5 }))).toBeUndefined();
  });

  it.each([
    ['exp', { iat: testNow - 60, exp: testNow - 4 }, undefined],
    ['exp', { iat: testNow - 60, exp: testNow - 5 }, 'expired'],
    ['iat', { iat: testNow + 5, exp: testNow + 60 }, undefined],
    ['iat', { iat: testNow + 6, exp: testNow + 60 }, 'not_yet_valid'],
    ['nbf', { nbf: testNow + 5 }, undefined],
    ['nbf', { nbf: testNow + 6 }, 'not_yet_valid'],
  ])('%s is tolerated to the second: %j', async (_, claims, reason) => {
    expect(await reasonFor(good(claims))).toBe(reason);
  });

  it.each([
    [{ iat: testNow, exp: testNow + 1 }, undefined],
    [{ iat: testNow, exp: testNow }, 'malformed_token'],
    [{ iat: testNow + 2, exp: testNow + 1 }, 'malformed_token'],
    [{ iat: testNow, exp: testNow + 300 }, undefined],
    // A second more: some issuers round `exp` up and `iat` down.
    [{ iat: testNow, exp: testNow + 301 }, undefined],
    [{ iat: testNow - 1, exp: testNow + 299.5 }, undefined],
    [{ iat: testNow - 1, exp: testNow + 300.5 }, 'lifetime_too_long'],
    [{ iat: testNow, exp: testNow + 302 }, 'lifetime_too_long'],
    [{ iat: 0, exp: testNow + 60 }, 'lifetime_too_long'],
  ])('and its lifetime is bounded: %j', async (claims, reason) => {
    expect(await reasonFor(good(claims))).toBe(reason);
  });

  it('is checked with the tolerance and the longest lifetime of the issuer', async () => {
    const strict = { clockToleranceMs: 0, maxTokenLifetimeMs: 60_000 };
    expect(await reasonFor(good({ iat: testNow - 60, exp: testNow }), strict)).toBe('expired');
    expect(await reasonFor(good({ iat: testNow - 30, exp: testNow + 32 }), strict)).toBe('lifetime_too_long');
    expect(await reasonFor(good({ iat: testNow - 30, exp: testNow + 31 }), strict)).toBeUndefined();
  });
});

describe('the audience and the scopes', () => {
  it.each([[1], [null], [{}], [['orders', 1]], [[['orders']]], [true]])(
    'as %j are malformed',
    async (value) => {
      expect(await reasonFor(good({ aud: value }))).toBe('malformed_token');
      expect(await reasonFor(good({ scope: value }))).toBe('malformed_token');
    },
  );

  it.each([
    [{ aud: 'orders' }, ['orders']],
    [{ aud: ['a', 'b'] }, ['a', 'b']],
    [{ aud: [] }, []],
  ])('are read from %j', async (claims, audiences) => {
    expect(await testVerifier().verify(good(claims))).toMatchObject({ token: { audiences } });
  });

  it.each([
    [{ scope: 'a  b ' }, ['a', 'b']],
    [{ scope: ['a', 'b c'] }, ['a', 'b c']],
    [{ scope: undefined, scp: 'a b' }, ['a', 'b']],
    [{ scope: undefined, scp: ['a'] }, ['a']],
    [{ scope: 'a', scp: ['b'] }, ['a']],
    [{ scope: '' }, []],
  ])('and scopes from %j', async (claims, scopes) => {
    expect(await testVerifier().verify(good(claims))).toMatchObject({ token: { scopes } });
  });
});

describe('a token without a session', () => {
  const sessionless = (claims: Record<string, unknown>): string => good({ grant_id: undefined, ...claims });

  it('is refused: it could not be revoked', async () => {
    expect(await reasonFor(sessionless({}))).toBe('missing_claim');
  });

  it.each([
    [{ sub: 'web' }, undefined],
    [{ sub: 'web', client_id: undefined, azp: 'web' }, undefined],
    [{ sub: 'web', jti: undefined }, 'missing_claim'],
    [{ sub: 'web', client_id: 'other', azp: 'web' }, 'missing_claim'],
    [{ sub: 'Web' }, 'missing_claim'],
  ])('is a client’s own only when sub is the client and jti is there: %j', async (claims, reason) => {
    expect(await reasonFor(sessionless(claims))).toBe(reason);
  });

  it('is accepted if the rules of the issuer exempt it', async () => {
    const options = { sessionExempt: { claim: 'gty', value: 'client-credentials' } };
    expect(await reasonFor(sessionless({ gty: 'client-credentials' }), options)).toBeUndefined();
    expect(await reasonFor(sessionless({ gty: 'password' }), options)).toBe('missing_claim');
    expect(await reasonFor(sessionless({ gty: ['client-credentials'] }), options)).toBe('missing_claim');
  });

  it('is accepted where the issuer is declared without revocation', async () => {
    expect(await reasonFor(sessionless({}), { revocation: 'none' })).toBeUndefined();
  });

  it('has it under the claim that the issuer names', async () => {
    const options = { sessionClaim: 'https://issuer.test/sid' };
    const token = sessionless({ 'https://issuer.test/sid': 's-1' });
    expect(await testVerifier([trusted(options)]).verify(token)).toMatchObject({ token: { session: 's-1' } });
  });
});

describe('the issuer', () => {
  it.each([
    `${testIssuer}/`,
    testIssuer.toUpperCase(),
    testIssuer.replace('https', 'http'),
    `${testIssuer}:443`,
    ` ${testIssuer}`,
  ])('is compared byte for byte; the near miss %j is explained with both texts', async (iss) => {
    expect(await rejection(good({ iss }))).toMatchObject({
      reason: 'unknown_issuer',
      detail: { claim: 'iss', expected: `${testIssuer} (byte for byte)`, found: iss },
    });
  });

  it('that is unknown is reported with the known ones', async () => {
    expect(await rejection(good({ iss: 'https://evil.test' }))).toMatchObject({
      reason: 'unknown_issuer',
      detail: { expected: testIssuer, found: 'https://evil.test' },
    });
  });

  it('made of slashes, which anybody can send without a key, is refused in no time', async () => {
    const verifier = testVerifier(
      Array.from({ length: 64 }, (_, index) => trusted({ issuer: `${testIssuer}/${index}` })),
    );
    const token = good({ iss: `${'/'.repeat(2000)}x` });
    await verifier.verify(token);
    const startedMs = performance.now();
    for (let count = 0; count < 10; count += 1)
      expect(await verifier.verify(token)).toMatchObject({ reason: 'unknown_issuer' });
    // In quadratic time, and once for every issuer, it would be seconds.
    expect(performance.now() - startedMs).toBeLessThan(500);
  });

  it.each([1, null, [testIssuer], {}])('is a text, not %j', async (iss) => {
    expect(await reasonFor(good({ iss }))).toBe('malformed_token');
  });
});
