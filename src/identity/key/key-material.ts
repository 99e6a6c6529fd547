import {
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  randomBytes,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import { Fault } from '../../runtime/fault.ts';
import type { SigningAlgorithm } from '../../vocabulary/algorithms.ts';
import type { Secret } from '../../runtime/secret.ts';
import { decrypt, encrypt } from '../store/sealing.ts';
import type { StoredKey } from '../store/key-store.ts';

/** HMAC with SHA-256, for cookies. */
export const cookieAlgorithm = 'HS256';

const minKeyFileBytes = 32;

/** Generates a private JWK. Cost: about 100 ms for an RSA key. */
export async function generateSigningKey(algorithm: SigningAlgorithm): Promise<JWK & { kid: string }> {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true, modulusLength: 2048 });
  const jwk = await exportJWK(privateKey);
  return { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: algorithm, use: 'sig' };
}

const curves = { ES256: 'P-256', EdDSA: 'Ed25519' } as const;
const rsaBits = { min: 2048, max: 4096 } as const;

// Needs no escaping in a header or a URL.
const keyName = /^[\x21-\x7e]{1,128}$/;

/** An operator's private key, validated. */
export type ReadKey = {
  jwk: JWK & { kid: string };
  /** RFC 7638: the default `kid`. */
  thumbprint: string;
};

/**
 * Reads an operator's private key, as PEM (PKCS #8) or JWK.
 * @param kid its name, 1 to 128 printable ASCII characters without spaces; default the JWK's own, else its
 * thumbprint
 * @throws ERR_USAGE when it is not a private key, or not one for the algorithm
 */
export async function readSigningKey(
  text: string,
  algorithm: SigningAlgorithm,
  kid?: string,
): Promise<ReadKey> {
  const { key, name } = parsePrivateKey(text, algorithm);
  const jwk = key.export({ format: 'jwk' }) as JWK;
  if (!isFor(algorithm, key, jwk))
    throw new Fault(
      'ERR_USAGE',
      `the key is not for ${algorithm}, which needs ${algorithm === 'RS256' ? `RSA with ${rsaBits.min} to ${rsaBits.max} bits` : curves[algorithm]}`,
    );
  const thumbprint = await calculateJwkThumbprint(jwk);
  const id = kid ?? name ?? thumbprint;
  if (!keyName.test(id))
    throw new Fault('ERR_USAGE', "a key's name is 1 to 128 printable ASCII characters without spaces");
  return { jwk: { ...jwk, kid: id, alg: algorithm, use: 'sig' }, thumbprint };
}

function isFor(algorithm: SigningAlgorithm, key: KeyObject, jwk: JWK): boolean {
  if (algorithm !== 'RS256') return jwk.crv === curves[algorithm];
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  return jwk.kty === 'RSA' && bits >= rsaBits.min && bits <= rsaBits.max;
}

function parsePrivateKey(
  text: string,
  algorithm: SigningAlgorithm,
): { key: KeyObject; name: string | undefined } {
  const parsed = tryToParse(text);
  if (parsed === undefined || !signsWhatItVerifies(parsed.key))
    throw new Fault('ERR_USAGE', 'not a private key in PEM (PKCS #8, not encrypted) or JWK');
  const { key, alg, use, kid } = parsed;
  // RFC 7517 §4.2, §4.4: the JWK says what it may be used for.
  if ((alg !== undefined && alg !== algorithm) || (use !== undefined && use !== 'sig'))
    throw new Fault('ERR_USAGE', `the JWK is not for signing with ${algorithm}`);
  return { key, name: kid === '' ? undefined : kid };
}

/** Returns undefined instead of an error: the error's message could contain the key. */
function tryToParse(text: string): (Pick<JWK, 'alg' | 'use' | 'kid'> & { key: KeyObject }) | undefined {
  try {
    if (!text.trimStart().startsWith('{')) return { key: createPrivateKey(text) };
    const jwk = JSON.parse(text) as JWK;
    const key = createPrivateKey({ key: jwk, format: 'jwk' });
    return {
      key,
      ...(jwk.alg === undefined ? {} : { alg: jwk.alg }),
      ...(jwk.use === undefined ? {} : { use: jwk.use }),
      ...(typeof jwk.kid === 'string' ? { kid: jwk.kid } : {}),
    };
  } catch {
    return undefined;
  }
}

/** Checks that the private and the public part of a JWK belong together. Node does not. */
function signsWhatItVerifies(key: KeyObject): boolean {
  const probe = Buffer.from('probe');
  const digest = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  try {
    return verify(digest, probe, createPublicKey(key), sign(digest, probe, key));
  } catch {
    return false;
  }
}

export const generateCookieSecret = (): string => randomBytes(32).toString('base64url');

/** Encrypts and decrypts key material with a key derived from the operator's key file, if there is one. */
export type MaterialSealer = {
  readonly isSealing: boolean;
  seal(id: string, material: string): string;
  /** @throws ERR_SECRET_UNREADABLE when the key file is missing or is a different one */
  open(key: StoredKey): string;
};

/** @throws ERR_SECRET_UNREADABLE */
export function createMaterialSealer(keyFile: Secret | undefined): MaterialSealer {
  const fileBytes = keyFile?.bytes();
  if (keyFile !== undefined && fileBytes !== undefined && fileBytes.length < minKeyFileBytes)
    throw new Fault(
      'ERR_SECRET_UNREADABLE',
      `${keyFile.source} holds ${fileBytes.length} bytes; an encryption key needs at least ${minKeyFileBytes}`,
    );
  const key =
    fileBytes === undefined ? undefined : Buffer.from(hkdfSync('sha256', fileBytes, '', 'curfew/keys', 32));
  return {
    isSealing: key !== undefined,
    seal: (id, material) => (key === undefined ? material : encrypt(key, material, id)),
    open: ({ id, material, isSealed }) => {
      if (!isSealed) return material;
      if (key === undefined)
        throw new Fault(
          'ERR_SECRET_UNREADABLE',
          'the stored keys are encrypted; give `keys.encryptionKey: { file }`',
        );
      const opened = decrypt(key, material, id);
      if (opened !== undefined) return opened;
      throw new Fault(
        'ERR_SECRET_UNREADABLE',
        `${keyFile?.source ?? 'the key file'} is not the key the stored keys were encrypted with`,
      );
    },
  };
}
