import type { RevocationFinding, Revocations } from '../revocation/revocable.ts';
import type { AccessToken, Verified } from '../token/access-token.ts';
import type { IssuerRules } from '../token/issuer-rules.ts';
import type { RejectionDetail } from '../token/rejection.ts';
import type { Reason } from './decision.ts';
import type { RoutePolicy } from './route-policy.ts';
import type { TokenMemo } from './token-memo.ts';

/** Why a verified token is denied on a route. */
export type DenyCause = {
  readonly reason: Reason;
  readonly detail: RejectionDetail;
  /** With `insufficient_scope`: the scopes that the route requires. */
  readonly requiredScopes?: string;
};

/**
 * Authorizes a verified token for one request: revocation, audience, scopes. Synchronous, free of I/O.
 * @returns undefined when the token is good for the route
 */
export type TokenAuthorizer = (
  verified: Verified,
  memo: TokenMemo,
  route: RoutePolicy,
  nowMs: number,
) => DenyCause | undefined;

export type TokenAuthorizerOptions = {
  /** Undefined: tokens are validated only. */
  readonly revocations: Revocations | undefined;
  /** Longest time a revoked token may pass, unless a route lowers it; ms. */
  readonly maxExposureMs: number;
};

export function createTokenAuthorizer(options: TokenAuthorizerOptions): TokenAuthorizer {
  const { revocations, maxExposureMs } = options;
  return ({ token, rules }, memo, route, nowMs) => {
    if (revocations !== undefined && rules.revocable) {
      const limits = {
        maxExposureMs: Math.min(route.maxExposureMs ?? maxExposureMs, maxExposureMs),
        clockToleranceSeconds: rules.clockToleranceSeconds,
      };
      const finding = revocations.evaluate(token, limits, nowMs);
      if (finding.kind !== 'clear') return causeOf(finding, rules);
    }
    // Neither the token nor the route changes.
    if (memo.metRoute === route) return undefined;
    const cause =
      checkAudience(token, route.audiences ?? rules.audiences) ?? checkScopes(token, route.scopes);
    if (cause === undefined) memo.metRoute = route;
    return cause;
  };
}

function causeOf(finding: Exclude<RevocationFinding, { kind: 'clear' }>, rules: IssuerRules): DenyCause {
  switch (finding.kind) {
    case 'revoked': {
      const found = finding.reason ?? 'revoked';
      return { reason: 'revoked', detail: { claim: finding.by, expected: 'not revoked', found } };
    }
    case 'unproven':
      return { reason: 'freshness_unproven', detail: { claim: 'iat', expected: 'younger than maxExposure' } };
    case 'outlives_log': {
      const expected = `within what the revocation log remembers, and ${rules.maxTokenLifetimeSeconds} s`;
      return { reason: 'lifetime_too_long', detail: { claim: 'exp', expected } };
    }
  }
}

function checkAudience(token: AccessToken, accepted: readonly string[] | 'any'): DenyCause | undefined {
  if (accepted === 'any') return undefined;
  for (const audience of token.audiences) {
    if (accepted.includes(audience)) return undefined;
  }
  const expected = accepted.join(' ');
  if (token.audiences.length === 0)
    return { reason: 'missing_claim', detail: { claim: 'aud', expected, found: 'absent' } };
  return { reason: 'wrong_audience', detail: { claim: 'aud', expected, found: token.audiences.join(' ') } };
}

function checkScopes(token: AccessToken, required: readonly string[]): DenyCause | undefined {
  for (const scope of required) {
    if (token.scopes.includes(scope)) continue;
    const requiredScopes = required.join(' ');
    const detail = { claim: 'scope', expected: requiredScopes, found: token.scopes.join(' ') };
    return { reason: 'insufficient_scope', detail, requiredScopes };
  }
  return undefined;
}
