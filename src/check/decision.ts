import type { AccessToken } from '../token/access-token.ts';
import type { Origin, RejectionDetail, TokenRejection } from '../token/rejection.ts';
import type { OptionalRoute } from './route-policy.ts';

/** Every reason a request is denied; the value of the metric label and of the log field. */
export type Reason =
  | TokenRejection
  | 'no_token'
  | 'multiple_tokens'
  | 'revoked'
  | 'freshness_unproven'
  | 'insufficient_scope'
  | 'misconfigured_route'
  | 'not_ready'
  | 'internal_error';

export type HeaderValue = readonly [name: string, value: string];

/** What the upstream learns of the caller. */
export type UpstreamIdentity = {
  /** Overwrites what the client sent. */
  readonly set: readonly HeaderValue[];
  /** For Envoy's RBAC, rate limits and access log; undefined for an anonymous request. */
  readonly metadata: TokenMetadata | undefined;
};

export type TokenMetadata = {
  readonly sub: string;
  readonly session: string | undefined;
  readonly iss: string;
  readonly scopes: readonly string[];
  readonly exp: number;
};

export type Allow = {
  readonly kind: 'allow';
  /** Undefined only for an anonymous request on an optional route. */
  readonly token: AccessToken | undefined;
  readonly upstream: UpstreamIdentity;
  /**
   * Request headers to remove: the reserved prefix, and the credential if so configured. Never one of `set`.
   */
  readonly remove: readonly string[];
  /**
   * The response on the wire, which src/envoy stores here: the same decision is made again for the same
   * token.
   */
  encoded?: EncodedResponse | undefined;
};

/** `by`: the responder whose response it is. */
export type EncodedResponse = { readonly by: object; readonly bytes: Buffer };

export type Deny = {
  readonly kind: 'deny';
  readonly reason: Reason;
  /** For the operator only. */
  readonly detail: RejectionDetail | undefined;
  /** Issuer, key and session for the log, where the token was verified. */
  readonly token: AccessToken | undefined;
  /** Issuer and key that a token names which was not verified. */
  readonly origin?: Origin | undefined;
  /** The scopes that the route requires, with `insufficient_scope` (RFC 6750 §3). */
  readonly requiredScopes: string | undefined;
  /** Request headers to remove in shadow mode, where the request passes. */
  readonly remove: readonly string[];
};

export type Decision = Allow | Deny;

/** What a denial may carry besides its reason. */
export type DenyFacts = Partial<Pick<Deny, 'detail' | 'token' | 'origin' | 'requiredScopes' | 'remove'>>;

const anonymous: UpstreamIdentity = { set: [], metadata: undefined };
const nothing: readonly string[] = [];

/** Allows a request as the bearer of a token that was verified and is not revoked. */
export const allow = (token: AccessToken, upstream: UpstreamIdentity, remove: readonly string[]): Allow => ({
  kind: 'allow',
  token,
  upstream,
  remove,
  encoded: undefined,
});

/** Allows a request without a credential as anonymous. The type of the route shows that it permits this. */
export const allowAnonymous = (_route: OptionalRoute, remove: readonly string[]): Allow => ({
  kind: 'allow',
  token: undefined,
  upstream: anonymous,
  remove,
  encoded: undefined,
});

export const deny = (reason: Reason, facts: DenyFacts = {}): Deny => ({
  kind: 'deny',
  reason,
  detail: facts.detail,
  token: facts.token,
  origin: facts.origin,
  requiredScopes: facts.requiredScopes,
  remove: facts.remove ?? nothing,
});
