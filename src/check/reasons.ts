import type { Reason } from './decision.ts';

/** What a client receives for a reason. */
export type ReasonEntry = {
  readonly httpStatus: 401 | 403 | 500 | 503;
  /** google.rpc.Code, for gRPC callers. */
  readonly grpcStatus: 7 | 13 | 14 | 16;
  /**
   * The error code, which is all that the client learns. Undefined for a request without credentials (RFC
   * 6750 §3.1).
   */
  readonly code: ErrorCode | undefined;
  /**
   * A sentence for the client. It is the same for all reasons of a code, so that an attacker learns nothing
   * from it.
   */
  readonly title: string;
  /** Seconds of `Retry-After`. */
  readonly retryAfterSeconds: number | undefined;
};

export type ErrorCode = 'invalid_token' | 'insufficient_scope' | 'unavailable';

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

/** What each reason becomes in a response. */
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

/** Every reason: the values of the metric label. */
export const allReasons = Object.keys(reasons) as readonly Reason[];
