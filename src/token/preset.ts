import type { PresetName } from '../vocabulary/preset-names.ts';
import { accessTokenType } from './claims.ts';

/** Tokens whose claim has this value need no session; a list is equal to the same list only. */
export type SessionExemption = { readonly claim: string; readonly value: string | readonly string[] };

/** What a provider puts into its access tokens. Explicit settings take precedence. */
export type Preset = {
  readonly types: readonly string[];
  readonly sessionClaim: string;
  readonly sessionExempt?: SessionExemption;
  /**
   * Claims that may name the client; the first one present is the token's client, and a revocation of any
   * refuses it.
   */
  readonly clientClaims: readonly string[];
};

const registeredClientClaims = ['client_id', 'azp'];

/** Access tokens of well-known providers, as they document them. */
export const presets: Readonly<Record<PresetName, Preset>> = {
  // `typ: JWT` unless the client asks for at+jwt; `sid` is the user's session. A service account's token has
  // no `sid` and its own `sub`: give it a claim with a protocol mapper and name that in sessionExempt.
  keycloak: {
    types: [accessTokenType, 'JWT'],
    sessionClaim: 'sid',
    clientClaims: registeredClientClaims,
  },
  // at+jwt in the RFC 9068 profile, `JWT` in Auth0's own. Actions can't add `sid`, a reserved name: they add
  // a namespaced claim, which `sessionClaim` then names.
  auth0: {
    types: [accessTokenType, 'JWT'],
    sessionClaim: 'sid',
    sessionExempt: { claim: 'gty', value: 'client-credentials' },
    clientClaims: registeredClientClaims,
  },
  // No `typ`; the client's id is `cid`. `sid` has to be added as a custom claim of the authorization server.
  okta: {
    types: [accessTokenType, 'none'],
    sessionClaim: 'sid',
    clientClaims: [...registeredClientClaims, 'cid'],
  },
  // `sid` and `idtyp` are optional claims, to be switched on for the API; `appid` is the client's id in
  // version 1.0.
  entra: {
    types: [accessTokenType, 'JWT'],
    sessionClaim: 'sid',
    sessionExempt: { claim: 'idtyp', value: 'app' },
    clientClaims: [...registeredClientClaims, 'appid'],
  },
  // No `typ`, and no `aud` unless the client binds a resource; `origin_jti` names the refresh token's family.
  cognito: {
    types: [accessTokenType, 'none'],
    sessionClaim: 'origin_jti',
    clientClaims: registeredClientClaims,
  },
  // `sid` is the refresh token's id, and there only with `offline_access`. An entity's own token lists its
  // grant in `gty`, in the payload since version 1.60.
  fusionauth: {
    types: ['JWT'],
    sessionClaim: 'sid',
    sessionExempt: { claim: 'gty', value: ['client_credentials'] },
    clientClaims: [...registeredClientClaims, 'applicationId'],
  },
  // A session's token has neither `jti` nor client, and `aud` only if the backend adds it. That of the OAuth
  // recipe names the session alike.
  supertokens: {
    types: ['JWT'],
    sessionClaim: 'sessionHandle',
    clientClaims: registeredClientClaims,
  },
};
