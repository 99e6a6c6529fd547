/** Tokens whose claim has this value need no session. */
export type SessionExemption = { readonly claim: string; readonly value: string };

export type Preset = {
  readonly types: readonly string[];
  readonly sessionClaim: string;
  readonly sessionExempt?: SessionExemption;
  readonly clientClaims?: readonly string[];
};

export type PresetName = 'keycloak' | 'auth0' | 'okta' | 'entra' | 'cognito';

/** What well-known providers put into their access tokens. */
export const presets: Readonly<Record<PresetName, Preset>> = {
  keycloak: { types: ['at+jwt', 'JWT'], sessionClaim: 'sid' },
  auth0: {
    types: ['at+jwt', 'JWT'],
    sessionClaim: 'sid',
    sessionExempt: { claim: 'gty', value: 'client-credentials' },
  },
  okta: { types: ['at+jwt', 'none'], sessionClaim: 'sid', clientClaims: ['client_id', 'azp', 'cid'] },
  entra: {
    types: ['at+jwt', 'JWT'],
    sessionClaim: 'sid',
    sessionExempt: { claim: 'idtyp', value: 'app' },
    clientClaims: ['client_id', 'azp', 'appid'],
  },
  cognito: { types: ['none', 'at+jwt'], sessionClaim: 'origin_jti' },
};
