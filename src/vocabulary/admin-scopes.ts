/** The audience of access tokens for the administration API. */
export const adminAudience = 'urn:curfew:admin';

/** The scopes of the administration API; a client gets those in its `admin_scopes`. */
export const adminScopes = [
  'sessions:read',
  'sessions:revoke',
  'everything:revoke',
  'keys:read',
  'keys:manage',
  'audit:read',
] as const;

export type AdminScope = (typeof adminScopes)[number];
