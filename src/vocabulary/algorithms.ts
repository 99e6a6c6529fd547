/**
 * The signature algorithms that tokens may have, and the key that each one needs (RFC 7518 §3.1, RFC 8037
 * §3.1).
 */
export const algorithms = {
  RS256: { kty: 'RSA', curve: undefined, hashBytes: 32 },
  RS384: { kty: 'RSA', curve: undefined, hashBytes: 48 },
  RS512: { kty: 'RSA', curve: undefined, hashBytes: 64 },
  PS256: { kty: 'RSA', curve: undefined, hashBytes: 32 },
  PS384: { kty: 'RSA', curve: undefined, hashBytes: 48 },
  PS512: { kty: 'RSA', curve: undefined, hashBytes: 64 },
  ES256: { kty: 'EC', curve: 'P-256', hashBytes: 32 },
  ES384: { kty: 'EC', curve: 'P-384', hashBytes: 48 },
  ES512: { kty: 'EC', curve: 'P-521', hashBytes: 64 },
  EdDSA: { kty: 'OKP', curve: 'Ed25519', hashBytes: 64 },
  HS256: { kty: 'oct', curve: undefined, hashBytes: 32 },
  HS384: { kty: 'oct', curve: undefined, hashBytes: 48 },
  HS512: { kty: 'oct', curve: undefined, hashBytes: 64 },
} as const;

export type Algorithm = keyof typeof algorithms;
/** Algorithms with a shared secret (HMAC): everyone who can verify a token can also make one. */
export type HmacAlgorithm = Extract<Algorithm, `HS${string}`>;
export type AsymmetricAlgorithm = Exclude<Algorithm, HmacAlgorithm>;

export const isHmac = (algorithm: Algorithm): algorithm is HmacAlgorithm =>
  algorithms[algorithm].kty === 'oct';

export const algorithmNames = Object.keys(algorithms) as readonly Algorithm[];
export const asymmetricAlgorithms = algorithmNames.filter(
  (name): name is AsymmetricAlgorithm => !isHmac(name),
);

/** Algorithms of the keys that identity generates. */
export const signingAlgorithms = ['RS256', 'ES256', 'EdDSA'] as const satisfies readonly Algorithm[];
export type SigningAlgorithm = (typeof signingAlgorithms)[number];

/** Accepted for an issuer without `algorithms`: one of each asymmetric family. */
export const defaultAlgorithms: readonly Algorithm[] = ['RS256', 'PS256', 'ES256', 'EdDSA'];
