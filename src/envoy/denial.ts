import { status as grpc } from '@grpc/grpc-js';
import type { Reason } from '../check/decision.ts';

/** The word a client gets for a reason; several reasons share one, so that an attacker learns nothing. */
export type WireCode = 'no_token' | 'invalid_token' | 'insufficient_scope' | 'unavailable';

/** How a refusal looks on the wire. */
export type Denial = {
  readonly code: WireCode;
  readonly title: string;
  readonly httpStatus: 401 | 403 | 500 | 503;
  readonly grpcStatus: grpc;
  /** Value of Retry-After. */
  readonly retryAfterSeconds: number | undefined;
};

const noToken: Denial = {
  code: 'no_token',
  title: 'An access token is required',
  httpStatus: 401,
  grpcStatus: grpc.UNAUTHENTICATED,
  retryAfterSeconds: undefined,
};
const invalidToken: Denial = { ...noToken, code: 'invalid_token', title: 'The access token is not valid' };
const insufficientScope: Denial = {
  code: 'insufficient_scope',
  title: 'The access token does not reach that far',
  httpStatus: 403,
  grpcStatus: grpc.PERMISSION_DENIED,
  retryAfterSeconds: undefined,
};
const misconfigured: Denial = {
  code: 'unavailable',
  title: 'The service is not set up correctly',
  httpStatus: 500,
  grpcStatus: grpc.INTERNAL,
  retryAfterSeconds: undefined,
};
const unavailable: Denial = {
  code: 'unavailable',
  title: 'The service cannot check access right now',
  httpStatus: 503,
  grpcStatus: grpc.UNAVAILABLE,
  retryAfterSeconds: 1,
};

/** The one table from reason to answer. */
export function denialFor(reason: Reason): Denial {
  switch (reason) {
    case 'no_token':
      return noToken;
    case 'malformed_token':
    case 'multiple_tokens':
    case 'unknown_issuer':
    case 'algorithm_not_allowed':
    case 'unknown_key':
    case 'bad_signature':
    case 'wrong_type':
    case 'missing_claim':
    case 'expired':
    case 'not_yet_valid':
    case 'lifetime_too_long':
    case 'wrong_audience':
    case 'revoked':
    case 'freshness_unproven':
      return invalidToken;
    case 'insufficient_scope':
      return insufficientScope;
    case 'misconfigured_route':
      return misconfigured;
    case 'not_ready':
    case 'keys_unavailable':
    case 'overloaded':
    case 'internal_error':
      return unavailable;
  }
}
