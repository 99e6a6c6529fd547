import { createCipheriv, createDecipheriv, hash, hkdfSync, randomBytes } from 'node:crypto';

/*
 * A row that belongs to a token is found by the hash of the token, and its payload is encrypted with a key
 * derived from the token. So a copy of the database contains neither tokens nor their payloads.
 */

const ivBytes = 12;
const tagBytes = 16;

/** The hash that a row is found by. Because of `kind`, a code can't be found as a refresh token. */
export const hashOf = (kind: string, secret: string): string => hash('sha256', `${kind}:${secret}`, 'hex');

const keyFrom = (secret: string, kind: string): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, '', `curfew/${kind}`, 32));

/** AES-256-GCM (NIST SP 800-38D) with a 32-byte key. @returns nonce, ciphertext and tag, base64url */
export function encrypt(key: Uint8Array, plain: string, context: string): string {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context));
  return Buffer.concat([iv, cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString(
    'base64url',
  );
}

/** @returns undefined for another key, another context or a modified text */
export function decrypt(key: Uint8Array, sealed: string, context: string): string | undefined {
  const bytes = Buffer.from(sealed, 'base64url');
  if (bytes.length < ivBytes + tagBytes) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, ivBytes), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(-tagBytes));
  try {
    return decipher.update(bytes.subarray(ivBytes, -tagBytes), undefined, 'utf8') + decipher.final('utf8');
  } catch {
    return undefined;
  }
}

/** Encrypts a text with a token, code or cookie value of at least 126 random bits. */
export const seal = (secret: string, kind: string, plain: string): string =>
  encrypt(keyFrom(secret, kind), plain, kind);

export const unseal = (secret: string, kind: string, sealed: string): string | undefined =>
  decrypt(keyFrom(secret, kind), sealed, kind);
