import { createLocalJWKSet, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose';
import type { Clock } from '../../runtime/clock.ts';
import { grantIdClaim } from '../../token/claims.ts';
import type { Keys } from '../key/key-ring.ts';
import type { PublicationStore } from '../store/publication-store.ts';

/** The claims of an access token that this identity issued. Times in seconds. */
export type IssuedToken = {
  iat: number;
  exp: number;
  sub: string;
  aud: string;
  jti: string;
  clientId: string;
  scope: string;
  /** Undefined for a token from client_credentials. */
  session: string | undefined;
};

export type IssuedTokenVerifier = {
  /**
   * Verifies an access token: its signature, its times, and that no recorded revocation names it. Cost: one
   * signature verification and two queries.
   */
  verify(token: string): Promise<IssuedToken | undefined>;
};

export type IssuedTokenVerifierOptions = {
  issuer: string;
  keys(): Keys;
  /** Set if access tokens are signed with a shared secret. */
  sharedKey: { kid: string; current(): Buffer } | undefined;
  algorithm: string;
  publications: PublicationStore;
  clock: Clock;
};

const clockToleranceSeconds = 5;

export function createIssuedTokenVerifier(options: IssuedTokenVerifierOptions): IssuedTokenVerifier {
  const { issuer, sharedKey, algorithm, publications, clock } = options;
  const keySets = new WeakMap<Keys, JWTVerifyGetKey>();

  function keySet(): JWTVerifyGetKey {
    if (sharedKey !== undefined) return () => sharedKey.current();
    const keys = options.keys();
    const known = keySets.get(keys);
    if (known !== undefined) return known;
    const made = createLocalJWKSet({ keys: keys.signing.map(publicPart) });
    keySets.set(keys, made);
    return made;
  }

  return {
    verify: async (token) => {
      try {
        const { payload, protectedHeader } = await jwtVerify(token, keySet(), {
          issuer,
          typ: 'at+jwt',
          algorithms: [algorithm],
          clockTolerance: clockToleranceSeconds,
          currentDate: new Date(clock.nowMs()),
          requiredClaims: ['sub', 'aud', 'iat', 'exp', 'jti', 'client_id'],
        });
        const claims = claimsOf(payload);
        if (claims === undefined) return undefined;
        const keyId = protectedHeader.kid ?? '';
        const { iat, sub, jti, clientId, session } = claims;
        const revocable = { issuedAt: iat, keyId, tokenId: jti, clientId, subject: sub, session };
        return (await publications.isRevoked(issuer, revocable)) ? undefined : claims;
      } catch (thrown) {
        if (thrown instanceof errors.JOSEError) return undefined;
        throw thrown;
      }
    },
  };
}

type Jwk = Keys['signing'][number];

const publicPart = ({ kty, crv, x, y, n, e, kid, alg, use }: Jwk): Jwk =>
  JSON.parse(JSON.stringify({ kty, crv, x, y, n, e, kid, alg, use })) as Jwk;

function claimsOf(payload: JWTPayload): IssuedToken | undefined {
  const { iat, exp, sub, aud, jti, client_id: clientId, scope, [grantIdClaim]: session } = payload;
  if (iat === undefined || exp === undefined || sub === undefined || jti === undefined) return undefined;
  if (typeof aud !== 'string' || typeof clientId !== 'string') return undefined;
  return {
    iat,
    exp,
    sub,
    aud,
    jti,
    clientId,
    scope: typeof scope === 'string' ? scope : '',
    session: typeof session === 'string' ? session : undefined,
  };
}
