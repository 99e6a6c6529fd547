import { createCipheriv, createDecipheriv, hash, hkdfSync, randomBytes } from 'node:crypto';

/*
 * What is stored under a secret is stored twice over: found by the secret's hash, opened by a key made of the secret.
 * Whoever reads the database holds neither tokens nor what belongs to them.
 */

const ivBytes = 12;
const tagBytes = 16;

/** What a row is found by. `kind` keeps a code from being found as a refresh token. */
export const hashOf = (kind: string, secret: string): string => hash('sha256', `${kind}:${secret}`, 'hex');

const keyFrom = (secret: string, kind: string): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, '', `curfew/${kind}`, 32));

/** AES-256-GCM (NIST SP 800-38D) under a 32-byte key; the text is base64url of nonce, ciphertext and tag. */
export function encrypt(key: Uint8Array, plain: string, context: string): string {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context));
  return Buffer.concat([iv, cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString(
    'base64url',
  );
}

/** The plain text; undefined when the key or the context is another one, or the text was changed. */
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

/** Seals a text with a token, code or cookie value of at least 126 random bits. */
export const seal = (secret: string, kind: string, plain: string): string =>
  encrypt(keyFrom(secret, kind), plain, kind);

export const unseal = (secret: string, kind: string, sealed: string): string | undefined =>
  decrypt(keyFrom(secret, kind), sealed, kind);
