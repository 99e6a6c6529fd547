import fc from 'fast-check';
import { jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { lifetimeSlackSeconds } from '../../src/token/issuer-rules.ts';
import { testVerifier, trusted } from './fixtures.ts';
import { encode, issueToken, signCompact, testIssuer, testKey, testNow, type TestKey } from './tokens.ts';

const key = testKey('RS256');
const keys: readonly TestKey[] = [key, testKey('ES256'), testKey('EdDSA')];

/** jose, and the rules of the contract as plainly as they can be written. */
async function reference(token: string): Promise<boolean> {
  const header = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >;
  const fitting = keys.filter(({ algorithm }) => algorithm === header['alg']);
  const signer = 'kid' in header ? fitting.find(({ kid }) => kid === header['kid']) : fitting[0];
  if (signer === undefined) return false;
  const { payload, protectedHeader } = await jwtVerify(token, signer.publicKey, {
    algorithms: [signer.algorithm],
    issuer: testIssuer,
    typ: 'at+jwt',
    clockTolerance: 5,
    currentDate: new Date(testNow * 1000),
    requiredClaims: ['sub', 'iat', 'exp', 'grant_id'],
  });
  const { sub, iat, exp, grant_id: session, jti } = payload;
  if (typeof sub !== 'string' || sub.length < 1 || sub.length > 256) return false;
  if (typeof session !== 'string' || session.length < 1 || session.length > 256) return false;
  if (jti !== undefined && (typeof jti !== 'string' || jti.length < 1 || jti.length > 256)) return false;
  if (typeof iat !== 'number' || typeof exp !== 'number') return false;
  if (iat > testNow + 5 || exp <= iat || exp - iat > 300 + lifetimeSlackSeconds || iat < 0) return false;
  return !['crit', 'b64', 'zip', 'jku', 'jwk', 'x5u', 'x5c', 'enc'].some((name) => name in protectedHeader);
}

const accepts = async (token: string): Promise<boolean> =>
  (await testVerifier([trusted({}, ...keys)]).verify(token)).kind === 'verified';

const referenceAccepts = async (token: string): Promise<boolean> => {
  try {
    return await reference(token);
  } catch {
    return false;
  }
};

const ids = fc.oneof(
  fc.string({ maxLength: 300 }),
  fc.constantFrom('user-1', '', '__proto__', 'é', 'x'.repeat(256)),
);
const near = fc.integer({ min: -400, max: 400 }).map((offset) => testNow + offset);
const odd = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constant(undefined));
const times = fc.oneof(near, near, fc.constantFrom(0, -1, testNow + 0.5, testNow * 1000, 1e300), odd);

const claimOverrides = fc.record(
  {
    iss: fc.oneof(fc.constantFrom(testIssuer, `${testIssuer}/`), odd),
    sub: fc.oneof(ids, odd),
    grant_id: fc.oneof(ids, odd),
    jti: fc.oneof(ids, odd),
    iat: times,
    exp: times,
    nbf: times,
    aud: fc.oneof(fc.constantFrom('orders', 'other'), odd),
    scope: odd,
    nonce: odd,
  },
  { requiredKeys: [] },
);
const headerOverrides = fc.record(
  {
    alg: fc.oneof(fc.constantFrom('RS256', 'ES256', 'EdDSA', 'none', 'HS256', 'PS256'), odd),
    kid: fc.oneof(fc.constantFrom(...keys.map(({ kid }) => kid)), odd),
    typ: fc.oneof(fc.constantFrom('at+jwt', 'JWT', 'application/at+jwt'), odd),
    crit: odd,
    jwk: odd,
    b64: odd,
    zip: odd,
  },
  { requiredKeys: [] },
);
const signers = fc.constantFrom(...keys);

describe('whatever the claims', () => {
  it('never accepts what jose and the plain rules refuse, and never throws', async () => {
    let accepted = 0;
    const property = fc.asyncProperty(
      signers,
      fc.oneof(fc.constant({}), claimOverrides),
      fc.oneof(fc.constant({}), fc.constant({}), headerOverrides),
      async (signer, claims, header) => {
        const token = issueToken({ now: testNow, key: signer, claims, header });
        if (!(await accepts(token))) return true;
        accepted += 1;
        return await referenceAccepts(token);
      },
    );
    await expect(fc.assert(property, { numRuns: 1000 })).resolves.toBeUndefined();
    // The property would hold for a verifier that refuses everything.
    expect(accepted).toBeGreaterThan(200);
  });

  it('accepts what jose and the plain rules accept, where only ids and times vary', async () => {
    const simple = fc.record({ sub: ids, grant_id: ids, iat: near, exp: near }, { requiredKeys: [] });
    const property = fc.asyncProperty(signers, simple, async (signer, claims) => {
      const token = issueToken({ now: testNow, key: signer, claims });
      return (await accepts(token)) === (await referenceAccepts(token));
    });
    await expect(fc.assert(property, { numRuns: 500 })).resolves.toBeUndefined();
  });
});

describe('whatever the text', () => {
  const good = issueToken({ now: testNow });

  it('changed in one place it is refused, unless it is the same text', async () => {
    const property = fc.asyncProperty(
      fc.nat({ max: good.length }),
      fc.constantFrom('', '.', '=', 'A', 'B', '-', '_', '+', '/', ' ', '\0', 'é', '%41'),
      fc.nat({ max: 3 }),
      async (at, piece, removed) => {
        const changed = good.slice(0, at) + piece + good.slice(at + removed);
        return changed === good || !(await accepts(changed));
      },
    );
    await expect(fc.assert(property, { numRuns: 1000 })).resolves.toBeUndefined();
  });

  it('made of any parts it never throws', async () => {
    const part = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }),
      fc.json().map(encode),
      fc.constantFrom(...good.split('.')),
      fc.uint8Array({ maxLength: 64 }).map((bytes) => encode(Buffer.from(bytes))),
    );
    const property = fc.asyncProperty(fc.array(part, { maxLength: 6 }), async (parts) => {
      const token = parts.join('.');
      return token === good || !(await accepts(token));
    });
    await expect(fc.assert(property, { numRuns: 1000 })).resolves.toBeUndefined();
  });

  it('signed over any header and payload, valid JSON or not, never throws', async () => {
    const json = fc.oneof(
      fc.json(),
      fc.string(),
      fc.constantFrom('{"alg":"RS256","typ":"at+jwt"}', `{"iss":"${testIssuer}"}`),
    );
    const property = fc.asyncProperty(
      json,
      json,
      async (header, payload) => !(await accepts(signCompact(header, payload, key))),
    );
    await expect(fc.assert(property, { numRuns: 500 })).resolves.toBeUndefined();
  });
});
