import { hash } from 'node:crypto';

/**
 * The user handle of an account, base64url. It reveals neither the user name nor the subject of the tokens
 * (WebAuthn Level 3 §14.6.1).
 */
export const userHandleOf = (accountId: string): string =>
  hash('sha256', `passkeys of ${accountId}`, 'base64url');
