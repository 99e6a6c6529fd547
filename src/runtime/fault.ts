/**
 * The codes of faults: failures of a program other than expected refusals. `docs/errors.md` explains each.
 */
export const faultCodes = [
  'ERR_CONFIG_INVALID',
  'ERR_CONFIG_UNREADABLE',
  'ERR_SECRET_UNREADABLE',
  'ERR_USAGE',
  'ERR_ADDRESS_IN_USE',
  'ERR_LISTEN_FAILED',
  'ERR_JWKS_UNAVAILABLE',
  'ERR_JWKS_INVALID',
  'ERR_REDIS_UNAVAILABLE',
  'ERR_REDIS_PERMISSION',
  'ERR_LOG_OWNED_BY_OTHER',
  'ERR_LOG_INVALID',
  'ERR_REVOCATION_INVALID',
  'ERR_DATABASE',
  'ERR_DATABASE_UNAVAILABLE',
  'ERR_ADMIN_API',
  'ERR_PROGRAM_UNAVAILABLE',
  'ERR_INTERNAL',
] as const;

export type FaultCode = (typeof faultCodes)[number];

/**
 * The one error class: a stable code for programs, a message for the operator. Messages never hold a
 * credential.
 */
export class Fault extends Error {
  readonly code: FaultCode;

  constructor(code: FaultCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'Fault';
    this.code = code;
  }
}

/** Whether the database is unavailable at the moment. The same call may succeed later, so answer with 503. */
export const isDatabaseUnavailable = (thrown: unknown): boolean =>
  thrown instanceof Fault && thrown.code === 'ERR_DATABASE_UNAVAILABLE';

/** `Retry-After` of answers while the database is unavailable; seconds. Long enough for a restart. */
export const databaseRetrySeconds = 2;
