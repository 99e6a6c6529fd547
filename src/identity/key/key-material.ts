import { createPrivateKey, hkdfSync, randomBytes, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import { Fault } from '../../runtime/fault.ts';
import type { Secret } from '../../runtime/secret.ts';
import { decrypt, encrypt } from '../store/sealing.ts';
import type { StoredKey } from '../store/key-store.ts';

/** Algorithms of keys that are generated here. */
export type SigningAlgorithm = 'RS256' | 'ES256' | 'EdDSA';

/** HMAC with SHA-256, for cookies. */
export const cookieAlgorithm = 'HS256';

const minKeyFileBytes = 32;

/** A fresh private JWK. Cost: an RSA key takes some 100 ms. */
export async function generateSigningKey(algorithm: SigningAlgorithm): Promise<JWK & { kid: string }> {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true, modulusLength: 2048 });
  const jwk = await exportJWK(privateKey);
  return { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: algorithm, use: 'sig' };
}

const curves = { ES256: 'P-256', EdDSA: 'Ed25519' } as const;
const minRsaBits = 2048;

/**
 * Reads an operator's private key, as PEM (PKCS #8) or JWK.
 * @param kid its name; default the JWK's own, else its thumbprint (RFC 7638)
 * @throws ERR_USAGE when it is none, or not one for the algorithm
 */
export async function readSigningKey(
  text: string,
  algorithm: SigningAlgorithm,
  kid?: string,
): Promise<JWK & { kid: string }> {
  const { key, name } = parsePrivateKey(text);
  const jwk = key.export({ format: 'jwk' }) as JWK;
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  const fits =
    algorithm === 'RS256' ? jwk.kty === 'RSA' && bits >= minRsaBits : jwk.crv === curves[algorithm];
  if (!fits)
    throw new Fault(
      'ERR_USAGE',
      `the key is not one for ${algorithm}: it takes ${algorithm === 'RS256' ? `RSA of at least ${minRsaBits} bits` : curves[algorithm]}`,
    );
  return { ...jwk, kid: kid ?? name ?? (await calculateJwkThumbprint(jwk)), alg: algorithm, use: 'sig' };
}

function parsePrivateKey(text: string): { key: KeyObject; name: string | undefined } {
  try {
    if (!text.trimStart().startsWith('{')) return { key: createPrivateKey(text), name: undefined };
    const jwk = JSON.parse(text) as JWK;
    const name = typeof jwk.kid === 'string' && jwk.kid !== '' ? jwk.kid : undefined;
    return { key: createPrivateKey({ key: jwk, format: 'jwk' }), name };
  } catch {
    // Its message could quote the key.
    throw new Fault('ERR_USAGE', 'that is no private key in PEM (PKCS #8, not encrypted) or JWK');
  }
}

export const generateCookieSecret = (): string => randomBytes(32).toString('base64url');

/** Encrypts and decrypts key material with a key made of the operator's file, if there is one. */
export type MaterialSealer = {
  readonly isSealing: boolean;
  seal(id: string, material: string): string;
  /** @throws ERR_SECRET_UNREADABLE when the key file is missing, or another one */
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
