import type { EpochSeconds } from '../runtime/clock.ts';
import type { AccessToken } from './access-token.ts';
import { readAudiences, readClientIds, readId, readScopes, readTimes, type Unfit } from './claim-values.ts';
import { lifetimeSlackSeconds, type IssuerRules } from './issuer-rules.ts';
import type { SessionExemption } from './preset.ts';
import { isJsonObject, type JsonObject } from './strict-json.ts';

export type CheckedClaims = { readonly kind: 'good'; readonly token: AccessToken } | Unfit;

/** Facts from the token's header and its key. */
export type Context = {
  /** Normalized `typ`; `none` when absent. */
  readonly type: string;
  readonly keyId: string;
  readonly keyNames: readonly string[];
};

/**
 * Checks the payload of a signed token by the issuer's rules (RFC 7519 §4.1, RFC 9068 §2.2, RFC 8725 §3). The
 * audience depends on the route, and `checkTimes` on the time of the request: neither is checked here.
 */
export function checkClaims(claims: JsonObject, rules: IssuerRules, context: Context): CheckedClaims {
  const impostor = otherKindOfToken(claims, context.type);
  if (impostor !== undefined) return impostor;
  const times = readTimes(claims);
  if (times.kind === 'unfit') return times;
  const subject = readId(claims, 'sub');
  if (subject.kind === 'unfit') return subject;
  if (subject.value === undefined) return missing('sub');
  const tokenId = readId(claims, 'jti');
  if (tokenId.kind === 'unfit') return tokenId;
  const clientIds = readClientIds(claims, rules.clientClaims);
  if (clientIds.kind === 'unfit') return clientIds;
  const session = readId(claims, rules.sessionClaim);
  if (session.kind === 'unfit') return session;
  const audiences = readAudiences(claims);
  if (audiences.kind === 'unfit') return audiences;
  const scopes = readScopes(claims);
  if (scopes.kind === 'unfit') return scopes;
  const token: AccessToken = {
    issuer: rules.issuer,
    subject: subject.value,
    session: session.value,
    tokenId: tokenId.value,
    clientId: clientIds.value[0],
    clientIds: clientIds.value,
    audiences: audiences.value,
    scopes: scopes.value,
    issuedAt: times.issuedAt,
    notBefore: times.notBefore,
    expiresAt: times.expiresAt,
    keyId: context.keyId,
    keyNames: context.keyNames,
    claims,
    clearAt: undefined,
  };
  return checkLifetime(token, rules) ?? checkSession(token, rules) ?? { kind: 'good', token };
}

/**
 * Checks `exp`, `iat` and `nbf`. Call for every request, also with a cached token.
 * A token is good up to the last second before `exp + tolerance` (RFC 7519 §4.1.4, §4.1.5).
 */
export function checkTimes(token: AccessToken, rules: IssuerRules, nowMs: number): Unfit | undefined {
  const now = Math.floor(nowMs / 1000);
  const tolerance = rules.clockToleranceSeconds;
  if (token.expiresAt <= now - tolerance)
    return unfitTime('expired', 'exp', `after ${now - tolerance}`, token.expiresAt);
  // A future `iat` would make a token look younger than a revocation that came before it.
  if (token.issuedAt > now + tolerance)
    return unfitTime('not_yet_valid', 'iat', `at most ${now + tolerance}`, token.issuedAt);
  if (token.notBefore !== undefined && token.notBefore > now + tolerance)
    return unfitTime('not_yet_valid', 'nbf', `at most ${now + tolerance}`, token.notBefore);
  return undefined;
}

function checkLifetime(token: AccessToken, rules: IssuerRules): Unfit | undefined {
  const lifetime = token.expiresAt - token.issuedAt;
  if (lifetime <= 0)
    return unfitTime('malformed_token', 'exp', `after iat (${token.issuedAt})`, token.expiresAt);
  if (lifetime <= rules.maxTokenLifetimeSeconds + lifetimeSlackSeconds) return undefined;
  const expected = `at most ${rules.maxTokenLifetimeSeconds} s after iat (maxTokenLifetime)`;
  return {
    kind: 'unfit',
    reason: 'lifetime_too_long',
    detail: { claim: 'exp', expected, found: `${lifetime} s` },
  };
}

// A token without a session can't be revoked with its refresh token.
function checkSession(token: AccessToken, rules: IssuerRules): Unfit | undefined {
  if (token.session !== undefined || !rules.revocable) return undefined;
  if (token.subject === token.clientId && token.tokenId !== undefined) return undefined;
  if (rules.sessionExempt !== undefined && isExempt(token.claims, rules.sessionExempt)) return undefined;
  return missing(rules.sessionClaim);
}

function isExempt(claims: JsonObject, { claim, value }: SessionExemption): boolean {
  const found = claims[claim];
  if (typeof value === 'string') return found === value;
  if (!Array.isArray(found) || found.length !== value.length) return false;
  return value.every((one, index) => found[index] === one);
}

// Claims that ID tokens hold and access tokens do not (OpenID Connect Core §2, §3.3.2.11).
const idTokenClaims = ['at_hash', 'c_hash', 'nonce'];
// How Keycloak (`typ`) and Cognito (`token_use`) name their other tokens, in lower case.
const otherKinds: readonly { claim: string; values: readonly string[] }[] = [
  { claim: 'typ', values: ['id', 'refresh', 'offline', 'logout'] },
  { claim: 'token_use', values: ['id', 'refresh'] },
];

// RFC 8725 §3.12: where `typ` does not distinguish access tokens from others, the claims have to.
function otherKindOfToken(claims: JsonObject, type: string): Unfit | undefined {
  if (type !== 'jwt' && type !== 'none') return undefined;
  for (const claim of idTokenClaims) {
    if (claims[claim] !== undefined) return wrongKind(claim, 'absent from an access token', 'present');
  }
  // RFC 8417 §2.2: a security event token; logout tokens have this claim too.
  if (isJsonObject(claims['events'])) return wrongKind('events', 'absent from an access token', 'present');
  for (const { claim, values } of otherKinds) {
    const kind = claims[claim];
    if (typeof kind === 'string' && values.includes(kind.toLowerCase()))
      return wrongKind(claim, 'that of an access token', kind);
  }
  return undefined;
}

const wrongKind = (claim: string, expected: string, found: string): Unfit => ({
  kind: 'unfit',
  reason: 'wrong_type',
  detail: { claim, expected, found },
});

const missing = (claim: string): Unfit => ({
  kind: 'unfit',
  reason: 'missing_claim',
  detail: { claim, expected: 'present', found: 'absent' },
});

const unfitTime = (
  reason: 'expired' | 'not_yet_valid' | 'malformed_token',
  claim: string,
  expected: string,
  found: EpochSeconds,
): Unfit => ({ kind: 'unfit', reason, detail: { claim, expected, found: `${found}` } });
