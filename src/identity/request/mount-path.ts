/** The path below which the issuer's endpoints are; empty for an issuer at the root of its host. */
export const mountPath = (issuer: string): string => new URL(issuer).pathname.replace(/\/$/, '');
