import type { Reason } from './decision.ts';

/** How a reason for denial reaches the client. */
export type ReasonEntry = {
  readonly httpStatus: 401 | 403 | 500 | 503;
  /** google.rpc.Code, for gRPC callers. */
  readonly grpcStatus: 7 | 13 | 14 | 16;
  /** The only word the client gets. Undefined for a request without credentials (RFC 6750 §3.1). */
  readonly code: WireCode | undefined;
  /** A sentence for the client; the same for all reasons of one code, so that it tells an attacker nothing. */
  readonly title: string;
  /** Seconds of `Retry-After`. */
  readonly retryAfterSeconds: number | undefined;
};

export type WireCode = 'invalid_token' | 'insufficient_scope' | 'unavailable';

const invalidToken: ReasonEntry = {
  httpStatus: 401,
  grpcStatus: 16,
  code: 'invalid_token',
  title: 'The access token is not valid.',
  retryAfterSeconds: undefined,
};
const unavailable: ReasonEntry = {
  httpStatus: 503,
  grpcStatus: 14,
  code: 'unavailable',
  title: 'The request cannot be authorized at the moment.',
  retryAfterSeconds: 5,
};

/** The one table of reasons: what each becomes on the wire. */
export const reasons: Readonly<Record<Reason, ReasonEntry>> = {
  no_token: {
    httpStatus: 401,
    grpcStatus: 16,
    code: undefined,
    title: 'The request needs an access token.',
    retryAfterSeconds: undefined,
  },
  malformed_token: invalidToken,
  multiple_tokens: invalidToken,
  unknown_issuer: invalidToken,
  algorithm_not_allowed: invalidToken,
  unknown_key: invalidToken,
  bad_signature: invalidToken,
  wrong_type: invalidToken,
  missing_claim: invalidToken,
  expired: invalidToken,
  not_yet_valid: invalidToken,
  lifetime_too_long: invalidToken,
  wrong_audience: invalidToken,
  revoked: invalidToken,
  freshness_unproven: invalidToken,
  insufficient_scope: {
    httpStatus: 403,
    grpcStatus: 7,
    code: 'insufficient_scope',
    title: 'The access token does not cover this request.',
    retryAfterSeconds: undefined,
  },
  misconfigured_route: {
    httpStatus: 500,
    grpcStatus: 13,
    code: 'unavailable',
    title: 'The request cannot be authorized.',
    retryAfterSeconds: undefined,
  },
  not_ready: { ...unavailable, retryAfterSeconds: 1 },
  keys_unavailable: unavailable,
  overloaded: { ...unavailable, retryAfterSeconds: 1 },
  internal_error: unavailable,
};

/** Every reason, for tables and closed label lists. */
export const allReasons = Object.keys(reasons) as readonly Reason[];
