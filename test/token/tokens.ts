import {
  constants,
  createHmac,
  createSecretKey,
  generateKeyPairSync,
  sign,
  type KeyObject,
} from 'node:crypto';

/** Algorithms that the factory can sign with. */
export type TestAlgorithm = `${'RS' | 'PS' | 'ES' | 'HS'}${'256' | '384' | '512'}` | 'EdDSA';

/** A signing key of this run; `jwk` is its public half, `kid` included. */
export type TestKey = {
  readonly algorithm: TestAlgorithm;
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly jwk: Readonly<Record<string, unknown>>;
};

const curves = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' } as const;
const made = new Map<string, TestKey>();

/** The key of an algorithm and name; the same one all through a run. HMAC has none: see `testSecret`. */
export function testKey(algorithm: TestAlgorithm = 'RS256', kid = `key-${algorithm}`): TestKey {
  const name = `${algorithm} ${kid}`;
  const known = made.get(name);
  if (known !== undefined) return known;
  const { privateKey, publicKey } = generate(algorithm);
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' };
  const key = { algorithm, kid, privateKey, publicKey, jwk };
  made.set(name, key);
  return key;
}

function generate(algorithm: TestAlgorithm): { privateKey: KeyObject; publicKey: KeyObject } {
  if (algorithm.startsWith('HS')) throw new TypeError('HMAC has no key pair; use testSecret');
  if (algorithm === 'EdDSA') return generateKeyPairSync('ed25519');
  if (algorithm in curves)
    return generateKeyPairSync('ec', { namedCurve: curves[algorithm as keyof typeof curves] });
  return generateKeyPairSync('rsa', { modulusLength: 2048 });
}

/** 64 fixed bytes: long enough for every HMAC. */
export const testSecret = Buffer.from(Array.from({ length: 64 }, (_, index) => index + 1));

/** A JWK Set of public keys, as JSON. */
export const jwkSetOf = (...keys: readonly TestKey[]): string =>
  JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });

/** 2025-11-24T07:33:20Z, in seconds: the moment the unit tests stand at. */
export const testNow = 1_763_969_600;
export const testIssuer = 'https://issuer.test';

export type TokenOverrides = {
  /** Default: `testKey('RS256')`. */
  readonly key?: TestKey;
  /** Signs with this HMAC secret instead of a key. */
  readonly secret?: {
    readonly bytes: Buffer;
    readonly algorithm: 'HS256' | 'HS384' | 'HS512';
    readonly kid?: string;
  };
  /** Put over the default header; `undefined` takes a parameter out. */
  readonly header?: Readonly<Record<string, unknown>>;
  /** Put over the default claims; `undefined` takes a claim out. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** `iat`, in seconds. Default: the time of day. */
  readonly now?: number;
  /** `exp - iat`; default 60. */
  readonly lifetimeSeconds?: number;
};

/** A signed access token as identity would issue it, but for the overrides. */
export function issueToken(overrides: TokenOverrides = {}): string {
  const signer = overrides.secret ?? overrides.key ?? testKey();
  const issuedAt = overrides.now ?? Math.floor(Date.now() / 1000);
  const header = { alg: signer.algorithm, typ: 'at+jwt', kid: signer.kid, ...overrides.header };
  const claims = {
    iss: testIssuer,
    sub: 'user-1',
    aud: ['orders'],
    iat: issuedAt,
    exp: issuedAt + (overrides.lifetimeSeconds ?? 60),
    jti: 'token-1',
    client_id: 'web',
    scope: 'read write',
    grant_id: 'grant-1',
    ...overrides.claims,
  };
  return signCompact(JSON.stringify(header), JSON.stringify(claims), signer);
}

/** A compact JWS over texts of any kind, valid JSON or not. */
export function signCompact(
  header: string,
  payload: string,
  signer: TestKey | { bytes: Buffer; algorithm: TestAlgorithm },
): string {
  const input = `${encode(header)}.${encode(payload)}`;
  const key = 'bytes' in signer ? createSecretKey(signer.bytes) : signer.privateKey;
  return `${input}.${signBytes(Buffer.from(input), signer.algorithm, key).toString('base64url')}`;
}

export const encode = (text: string | Buffer): string => Buffer.from(text).toString('base64url');

function signBytes(input: Buffer, algorithm: TestAlgorithm, key: KeyObject): Buffer {
  if (algorithm === 'EdDSA') return sign(null, input, key);
  const hash = `sha${algorithm.slice(2)}`;
  switch (algorithm.slice(0, 2)) {
    case 'HS':
      return createHmac(hash, key).update(input).digest();
    case 'PS':
      return sign(hash, input, {
        key,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
      });
    case 'ES':
      return sign(hash, input, { key, dsaEncoding: 'ieee-p1363' });
    default:
      return sign(hash, input, key);
  }
}
