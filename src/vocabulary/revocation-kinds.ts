/** What a revocation can name; see `docs/revocation.md`. */
export const revocationKinds = ['session', 'token', 'subject', 'client', 'issuer', 'key'] as const;
export type RevocationKind = (typeof revocationKinds)[number];
