import { createHash, createSecretKey } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { Fault } from '../runtime/fault.ts';
import { describeError, type Log } from '../runtime/log.ts';
import { secretFromFile, type Secret } from '../runtime/secret.ts';
import { algorithms, type Algorithm } from '../vocabulary/algorithms.ts';
import { decodeBase64url } from './compact-jws.ts';
import { parseJwkSet } from './jwk-set.ts';
import type { VerificationKey } from './key-lookup.ts';
import type { LocalKeys } from './local-key-set.ts';

export type SharedSecret = {
  readonly secret: Secret;
  readonly encoding: 'base64url' | 'raw';
  /** The `kid` of its tokens, if they have one, and the id in a `key` revocation. */
  readonly name: string;
};

const maxFileBytes = 4 * 1024 * 1024;

/**
 * Reads the key of an issuer that signs with a shared secret.
 * @throws from `read`: ERR_SECRET_UNREADABLE; ERR_CONFIG_INVALID for a secret that is too short or not in the
 *   given encoding
 */
export function sharedSecretKeys(shared: SharedSecret, accepted: readonly Algorithm[]): LocalKeys {
  const { secret, name } = shared;
  return {
    source: secret.source,
    version: () => secret.version(),
    read: () => {
      const bytes = decodeSecret(shared);
      for (const algorithm of accepted) requireLength(bytes, algorithm, secret.source);
      const thumbprint = thumbprintOf(bytes);
      const names = [thumbprint, name];
      const key = createSecretKey(bytes);
      return [{ kid: name, keyId: name, algorithms: accepted, key, thumbprint, names }];
    },
  };
}

/** RFC 7638 §3.2, for `kty` "oct". */
function thumbprintOf(secret: Buffer): string {
  const members = { k: secret.toString('base64url'), kty: 'oct' };
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url');
}

function decodeSecret({ secret, encoding }: SharedSecret): Buffer {
  const read = secret.bytes();
  if (encoding === 'raw') return read;
  const bytes = decodeBase64url(read.toString('latin1').replace(/=+$/, ''));
  if (bytes !== undefined) return bytes;
  throw new Fault(
    'ERR_CONFIG_INVALID',
    `the secret in ${secret.source} is not base64url; say \`encoding: raw\` to use its bytes as they are`,
  );
}

// RFC 7518 §3.2: a key of the hash's size or larger.
function requireLength(bytes: Buffer, algorithm: Algorithm, source: string): void {
  const { hashBytes } = algorithms[algorithm];
  if (bytes.length >= hashBytes) return;
  throw new Fault(
    'ERR_CONFIG_INVALID',
    `the secret in ${source} has ${bytes.length} bytes; ${algorithm} needs at least ${hashBytes}`,
  );
}

/**
 * Reads the keys of a JWK Set file.
 * @throws from `read`: ERR_JWKS_UNAVAILABLE, ERR_JWKS_INVALID
 */
export function jwkSetFileKeys(path: string, accepted: readonly Algorithm[], log: Log): LocalKeys {
  const { version } = secretFromFile(path);
  return {
    source: path,
    version,
    read: (): readonly VerificationKey[] => {
      const { keys, refused } = parseJwkSet(readText(path), accepted);
      for (const { kid, why } of refused)
        log.warn('a key of the set is not used', { file: path, keyId: kid ?? 'without kid', found: why });
      return keys;
    },
  };
}

function readText(path: string): string {
  try {
    if (statSync(path).size > maxFileBytes)
      throw new Fault('ERR_JWKS_INVALID', `${path} is larger than ${maxFileBytes} bytes`);
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw new Fault('ERR_JWKS_UNAVAILABLE', `cannot read ${path}: ${describeError(thrown).message}`);
  }
}
