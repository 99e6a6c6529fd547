import { hkdfSync, randomBytes } from 'node:crypto';
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
