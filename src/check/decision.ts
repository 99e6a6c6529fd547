import type { RejectionDetail, TokenRejection } from '../token/rejection.ts';
import type { AccessToken } from '../token/access-token.ts';

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
  /** Request headers to take away: the reserved prefix, and the credential if so configured. */
  readonly remove: readonly string[];
};

export type Deny = {
  readonly kind: 'deny';
  readonly reason: Reason;
  /** For the operator only. */
  readonly detail: RejectionDetail | undefined;
  /** Issuer, key and session as far as they are known, for the log. */
  readonly token: AccessToken | undefined;
  /** The scopes the route asks for, with `insufficient_scope` (RFC 6750 §3). */
  readonly requiredScopes: string | undefined;
  /** The reserved prefix, taken away also in shadow mode. */
  readonly remove: readonly string[];
};

export type Decision = Allow | Deny;
