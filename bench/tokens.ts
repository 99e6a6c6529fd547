import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issueToken, testKey, testSecret, type TokenOverrides } from '../test/token/tokens.ts';

export const algorithms = ['RS256', 'ES256', 'HS256'] as const;
export type BenchAlgorithm = (typeof algorithms)[number];

/** One issuer for each algorithm: an issuer with a shared secret can't have other keys. */
export const issuerOf = (algorithm: BenchAlgorithm): string =>
  `https://${algorithm.toLowerCase()}.identity.example`;

export const audience = 'orders';
const secret = testSecret.subarray(0, 32);
const secretKid = 'key-HS256';

/** Longer than any run, including the soak test. */
const lifetimeSeconds = 7200;

export type TokenPool = {
  readonly name: string;
  readonly file: string;
  readonly count: number;
};

/**
 * Signs tokens, each of another session; 741 bytes with RS256. Cost: 0.7 ms per token for RS256, far less for
 * others.
 */
export function writeTokenPool(
  folder: string,
  options: { name: string; algorithm: BenchAlgorithm; count: number; forged?: boolean },
): TokenPool {
  const { name, algorithm, count, forged = false } = options;
  const signer: TokenOverrides =
    algorithm === 'HS256'
      ? { secret: { bytes: secret, algorithm, kid: secretKid } }
      : { key: testKey(algorithm) };
  const tokens = Array.from({ length: count }, (_, index) => {
    const claims = {
      iss: issuerOf(algorithm),
      sub: `4f1c9a52-8d7e-4c3b-9a61-${String(index).padStart(12, '0')}`,
      aud: [audience],
      jti: `${name}-${String(index).padStart(12, '0')}`,
      grant_id: `grant-${name}-${String(index).padStart(12, '0')}`,
      client_id: 'shop-web',
    };
    const token = issueToken({ ...signer, claims, lifetimeSeconds });
    return forged ? forge(token, index) : token;
  });
  const file = join(folder, `${name}.tokens`);
  writeFileSync(file, `${tokens.join('\n')}\n`, { mode: 0o600 });
  return { name, file, count };
}

/** The token with another signature of the same form. */
function forge(token: string, index: number): string {
  const dot = token.lastIndexOf('.') + 1;
  const signature = Buffer.from(token.slice(dot), 'base64url');
  signature.writeUInt32BE(index, 8);
  return token.slice(0, dot) + signature.toString('base64url');
}

const publicKeys = (['RS256', 'ES256'] as const).map((algorithm) => testKey(algorithm));

/** Files with the keys in the forms that the contenders read. */
export function writeKeyFiles(folder: string): { jwks: string; secret: string; go: string } {
  const jwks = join(folder, 'jwks.json');
  writeFileSync(jwks, JSON.stringify({ keys: publicKeys.map(({ jwk }) => jwk) }));
  const secretFile = join(folder, 'secret');
  writeFileSync(secretFile, secret.toString('base64url'), { mode: 0o600 });
  const go = join(folder, 'go-keys.json');
  const pem = publicKeys.map(({ kid, publicKey }) => [
    kid,
    publicKey.export({ type: 'spki', format: 'pem' }),
  ]);
  writeFileSync(
    go,
    JSON.stringify({
      publicKeys: Object.fromEntries(pem),
      secrets: { [secretKid]: secret.toString('base64') },
      issuers: algorithms.map(issuerOf),
      audience,
    }),
    { mode: 0o600 },
  );
  return { jwks, secret: secretFile, go };
}

/** The key set with the shared secret in it, for Envoy's jwt_authn. */
export const jwksWithSecret = (): string =>
  JSON.stringify({
    keys: [
      ...publicKeys.map(({ jwk }) => jwk),
      { kty: 'oct', alg: 'HS256', kid: secretKid, k: secret.toString('base64url') },
    ],
  });
