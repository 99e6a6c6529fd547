import { Note } from '../runtime/memo-slots.ts';
import type { RevocationFinding, Revocations } from '../revocation/revocable.ts';
import type { AccessToken, Verified } from '../token/access-token.ts';
import type { IssuerRules } from '../token/issuer-rules.ts';
import type { RejectionDetail } from '../token/rejection.ts';
import type { Reason } from './decision.ts';
import type { RoutePolicy } from './route-policy.ts';

/** Why a verified token does not open a route. */
export type Objection = {
  readonly reason: Reason;
  readonly detail: RejectionDetail;
  /** With `insufficient_scope`: what the route asks for. */
  readonly requiredScopes?: string;
};

/** Judges a verified token for one request: revocation, audience, scopes. Synchronous, free of I/O. */
export type TokenJudge = (verified: Verified, route: RoutePolicy, nowMs: number) => Objection | undefined;

export type TokenJudgeOptions = {
  /** Undefined: tokens are validated only. */
  readonly revocations: Revocations | undefined;
  /** Longest time a revoked token may pass, unless a route lowers it; ms. */
  readonly maxExposureMs: number;
};

export function createTokenJudge({ revocations, maxExposureMs }: TokenJudgeOptions): TokenJudge {
  /** The route that was opened to a token last: neither changes. */
  const opened = new Note<RoutePolicy>();
  return ({ token, rules }, route, nowMs) => {
    if (revocations !== undefined && rules.revocable) {
      const limits = {
        maxExposureMs: Math.min(route.maxExposureMs ?? maxExposureMs, maxExposureMs),
        clockToleranceSeconds: rules.clockToleranceSeconds,
      };
      const finding = revocations.evaluate(token, limits, nowMs);
      if (finding.kind !== 'clear') return objectionTo(finding, rules);
    }
    if (opened.get(token) === route) return undefined;
    const objection =
      judgeAudience(token, route.audiences ?? rules.audiences) ?? judgeScopes(token, route.scopes);
    if (objection === undefined) opened.set(token, route);
    return objection;
  };
}

function objectionTo(finding: Exclude<RevocationFinding, { kind: 'clear' }>, rules: IssuerRules): Objection {
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

function judgeAudience(token: AccessToken, accepted: readonly string[] | 'any'): Objection | undefined {
  if (accepted === 'any') return undefined;
  for (const audience of token.audiences) {
    if (accepted.includes(audience)) return undefined;
  }
  const expected = accepted.join(' ');
  if (token.audiences.length === 0)
    return { reason: 'missing_claim', detail: { claim: 'aud', expected, found: 'absent' } };
  return { reason: 'wrong_audience', detail: { claim: 'aud', expected, found: token.audiences.join(' ') } };
}

function judgeScopes(token: AccessToken, required: readonly string[]): Objection | undefined {
  for (const scope of required) {
    if (token.scopes.includes(scope)) continue;
    const requiredScopes = required.join(' ');
    const detail = { claim: 'scope', expected: requiredScopes, found: token.scopes.join(' ') };
    return { reason: 'insufficient_scope', detail, requiredScopes };
  }
  return undefined;
}
