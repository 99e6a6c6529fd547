import { hash } from 'node:crypto';

/**
 * The `sid` that names a session to a client (OpenID Connect Back-Channel Logout 1.0 §2.1). It is derived
 * from the grant's id, so that a session can be named long after the login. It does not reveal the id.
 */
export const sidOf = (grantId: string): string =>
  hash('sha256', `sid of ${grantId}`, 'base64url').slice(0, 22);
