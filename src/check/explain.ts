import type { CredentialSource } from '../token/credential.ts';
import { decodeBase64url } from '../token/compact-jws.ts';
import { parseJsonObject, type JsonObject } from '../token/strict-json.ts';
import type { Check, CheckRequest } from './check-request.ts';
import type { Decision, Reason } from './decision.ts';

/**
 * A token's readable parts, not verified. The signature is left out, so that the output can't be used as a
 * token.
 */
export type DecodedToken = {
  /** Undefined where the part can't be read. */
  readonly header: JsonObject | undefined;
  readonly claims: JsonObject | undefined;
};

export type Explanation = DecodedToken & {
  readonly decision: 'allow' | 'deny';
  /** Undefined for an allow. */
  readonly reason: Reason | undefined;
  /** The rule that decided, in words. */
  readonly rule: string;
  /**
   * The claim that the rule checks, its expected value and the one found; undefined where the rule names
   * none.
   */
  readonly claim: string | undefined;
  readonly expected: string | undefined;
  readonly found: string | undefined;
};

const rules: Readonly<Record<Reason, string>> = {
  no_token: 'A request needs a token, unless its route says `curfew.access: optional`.',
  malformed_token: 'A token is a signed JWT in compact form, of strict JSON, with claims of the right kinds.',
  multiple_tokens: 'A request carries one token.',
  unknown_issuer: '`iss` equals a configured issuer, byte for byte.',
  algorithm_not_allowed: '`alg` is on the list of the issuer, which the token has no say in.',
  unknown_key: 'Exactly one key of the issuer fits `kid` and `alg`.',
  bad_signature: 'The signature verifies with the key of the issuer.',
  wrong_type: 'The token is an access token: by `typ`, and without the claims of other tokens.',
  missing_claim: '`iss`, `sub`, `exp`, `iat`, the audience and the claim of the session are there.',
  expired: '`exp` is not yet past, give or take the clock tolerance.',
  not_yet_valid: '`iat` and `nbf` are past, give or take the clock tolerance.',
  lifetime_too_long:
    '`exp - iat` is at most maxTokenLifetime plus one second, and no longer than revocations are remembered.',
  wrong_audience: '`aud` holds an audience of the issuer, or that of the route.',
  keys_unavailable: 'The keys of the issuer could be loaded.',
  overloaded: 'No more than a bounded number of tokens waits to be verified.',
  revoked: 'Neither the token nor its session, subject, client, key or issuer is revoked.',
  freshness_unproven: 'The token, or what is known of revocations, is younger than maxExposure.',
  insufficient_scope: 'The token has every scope that the route asks for.',
  misconfigured_route: 'The context extensions of the route are known and well formed.',
  not_ready: 'The keys of an issuer are usable, and the authorizer is not stopping.',
  internal_error: 'The check completes.',
};

/**
 * Explains what the authorizer decides about a token, and which rule denies it. The decision is the check's
 * own.
 * @param options.token as found; white space around it is dropped
 * @param options.sources where the check looks for tokens; the first is used
 * @param options.route the route's context extensions; default none
 */
export async function explainToken(options: {
  readonly token: string;
  readonly check: Check;
  readonly sources: readonly CredentialSource[];
  readonly route?: ReadonlyMap<string, string>;
}): Promise<Explanation> {
  const token = options.token.trim();
  const headers = carrying(token, options.sources[0] ?? { header: 'authorization' });
  const request: CheckRequest = {
    method: 'GET',
    host: '',
    path: '/',
    headers,
    contextExtensions: options.route ?? new Map(),
  };
  return { ...decodeToken(token), ...explainDecision(await options.check(request)) };
}

/** Decodes a token without verifying it. Never throws. */
export function decodeToken(token: string): DecodedToken {
  const [header, claims] = token.trim().split('.', 2);
  return { header: readPart(header), claims: readPart(claims) };
}

function explainDecision(decision: Decision): Omit<Explanation, keyof DecodedToken> {
  const { detail, reason } = decision.kind === 'deny' ? decision : { detail: undefined, reason: undefined };
  return {
    decision: decision.kind,
    reason,
    rule: reason === undefined ? 'Every rule is met.' : rules[reason],
    claim: detail?.claim,
    expected: detail?.expected,
    found: detail?.found,
  };
}

function carrying(token: string, source: CredentialSource): CheckRequest['headers'] {
  if ('cookie' in source) return new Map([['cookie', [`${source.cookie}=${token}`]]]);
  return new Map([[source.header, [`Bearer ${token}`]]]);
}

function readPart(part: string | undefined): JsonObject | undefined {
  const bytes = part === undefined ? undefined : decodeBase64url(part);
  if (bytes === undefined) return undefined;
  const parsed = parseJsonObject(bytes.toString('utf8'));
  return parsed.kind === 'object' ? parsed.value : undefined;
}
