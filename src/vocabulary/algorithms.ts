/** What each signature algorithm asks of its key (RFC 7518 §3.1, RFC 8037 §3.1). */
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

/** Accepted where an issuer names none: one of each family, all asymmetric. */
export const defaultAlgorithms: readonly Algorithm[] = ['RS256', 'PS256', 'ES256', 'EdDSA'];
