/** Audience of the administration API's tokens. */
export const adminAudience = 'urn:curfew:admin';

/** What a client may be allowed there. */
export const adminScopes = [
  'sessions:read',
  'sessions:revoke',
  'everything:revoke',
  'keys:read',
  'keys:manage',
  'audit:read',
] as const;

export type AdminScope = (typeof adminScopes)[number];
