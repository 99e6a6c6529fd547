import { hash } from 'node:crypto';

/**
 * What an authenticator knows an account by, base64url: neither its name nor the subject of its tokens can be read
 * off it (WebAuthn Level 3 §14.6.1).
 */
export const userHandleOf = (accountId: string): string =>
  hash('sha256', `passkeys of ${accountId}`, 'base64url');
