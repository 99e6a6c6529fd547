import { hash } from 'node:crypto';

/**
 * The `sid` by which a client knows a session (OpenID Connect Back-Channel Logout 1.0 §2.1): made of the grant's id,
 * so that whoever ends the session can name it to the client, also long after the login. Tells nothing of that id.
 */
export const sidOf = (grantId: string): string =>
  hash('sha256', `sid of ${grantId}`, 'base64url').slice(0, 22);
