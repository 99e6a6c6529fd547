import {
  errors,
  interactionPolicy,
  Provider,
  type AdapterFactory,
  type ClientMetadata,
  type Configuration,
  type FindAccount,
  type KoaContextWithOIDC,
} from 'oidc-provider';
import { grantIdClaim } from '../../token/claims.ts';
import type { Authenticate } from '../account/authenticate.ts';
import { createLoginGrant, loginGrantParameters, loginGrantType } from '../grant/login-grant.ts';
import type { Resources } from '../grant/resources.ts';
import { errorPage, loggedOutPage, logoutPage } from '../interaction/pages.ts';
import { strings } from '../interaction/strings.ts';
import type { Keys } from '../key/key-ring.ts';
import type { RequestScope } from '../session/request-scope.ts';
import { findGrant } from './find-grant.ts';
import { routes } from './request-scopes.ts';
import { contentSecurityPolicy, formTargetOf } from './security-headers.ts';

export type ProviderOptions = {
  issuer: string;
  clients: readonly ClientMetadata[];
  /** Algorithm of ID tokens; the keys hold one of it. */
  idTokenAlgorithm: 'RS256' | 'ES256' | 'EdDSA';
  accessTokenLifetimeSeconds: number;
  refreshTokenLifetimeSeconds: number;
  resources: Resources;
  authenticate: Authenticate;
  findAccount: FindAccount;
  adapter: AdapterFactory;
  scope(): RequestScope;
};

const codeLifetimeSeconds = 60;
const idTokenLifetimeSeconds = 60 * 60;
const interactionLifetimeSeconds = 15 * 60;

/** Builds the OpenID provider for one set of keys; another set needs another one. Cost: some milliseconds. */
export function createProvider(options: ProviderOptions, keys: Keys): Provider {
  const provider = new Provider(options.issuer, configurationOf(options, keys));
  // Host and scheme are the issuer's, whatever a request says: the server sets the headers that are trusted here.
  provider.proxy = true;
  const { authenticate, resources, scope } = options;
  provider.registerGrantType(
    loginGrantType,
    createLoginGrant({ provider, authenticate, resources, scope }),
    loginGrantParameters,
    'resource',
  );
  return provider;
}

function configurationOf(options: ProviderOptions, keys: Keys): Configuration {
  return {
    adapter: options.adapter,
    clients: [...options.clients],
    clientDefaults: { id_token_signed_response_alg: options.idTokenAlgorithm },
    extraClientMetadata: { properties: ['default_resource'] },
    jwks: { keys: keys.signing },
    cookies: cookiesOf(options.issuer, keys),
    routes,
    responseTypes: ['code'],
    pkce: { required: () => true },
    clientBasedCORS: (_, origin, client) =>
      client.clientAuthMethod === 'none' &&
      (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin),
    features: featuresOf(options),
    interactions: {
      policy: interactionPolicy.base(),
      url: (_, interaction) => `${mountPath(options.issuer)}/interaction/${interaction.uid}`,
    },
    findAccount: options.findAccount,
    loadExistingGrant: findGrant,
    renderError,
    fetchResponseBodyLimits: { jwks_uri: 64 * 1024 },
    ...tokensOf(options),
  };
}

function tokensOf({
  accessTokenLifetimeSeconds,
  refreshTokenLifetimeSeconds,
  scope,
}: ProviderOptions): Configuration {
  return {
    claims: { openid: ['sub'], profile: ['preferred_username'], auth_time: null, iss: null, sid: null },
    conformIdTokenClaims: false,
    extraTokenClaims: (_, token) =>
      token.kind === 'AccessToken' ? { [grantIdClaim]: token.grantId } : undefined,
    formats: {
      customizers: {
        jwt: (_, __, { payload }) => {
          const { startedAt } = scope();
          payload['iat'] = startedAt;
          payload['exp'] = startedAt + accessTokenLifetimeSeconds;
        },
      },
    },
    // Binds refresh tokens of a browser to its login: else a logout would revoke nothing.
    expiresWithSession: (_, source) => source.sessionUid !== undefined,
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    revokeGrantPolicy: () => true,
    ttl: {
      AccessToken: accessTokenLifetimeSeconds,
      ClientCredentials: accessTokenLifetimeSeconds,
      AuthorizationCode: codeLifetimeSeconds,
      IdToken: idTokenLifetimeSeconds,
      Interaction: interactionLifetimeSeconds,
      Grant: refreshTokenLifetimeSeconds,
      RefreshToken: refreshTokenLifetimeSeconds,
      Session: refreshTokenLifetimeSeconds,
    },
  };
}

/** The path of an issuer that isn't at the root of its host. */
export const mountPath = (issuer: string): string => new URL(issuer).pathname.replace(/\/$/, '');

function cookiesOf(issuer: string, keys: Keys): Configuration['cookies'] {
  const isSecure = issuer.startsWith('https:');
  const options = { httpOnly: true, sameSite: 'lax', secure: isSecure, signed: true } as const;
  // The prefix makes a browser refuse such a cookie from a neighbour domain or over plain HTTP (RFC 6265bis §4.1.3).
  const prefix = isSecure ? '__Secure-' : '';
  return {
    keys: [...keys.cookieSecrets],
    names: {
      session: isSecure ? '__Host-curfew_login' : 'curfew_login',
      interaction: `${prefix}curfew_interaction`,
      resume: `${prefix}curfew_resume`,
    },
    long: options,
    short: options,
  };
}

function featuresOf({ clients, resources }: ProviderOptions): Configuration['features'] {
  return {
    devInteractions: { enabled: false },
    dPoP: { enabled: false },
    pushedAuthorizationRequests: { enabled: false },
    userinfo: { enabled: false },
    clientCredentials: {
      enabled: clients.some(({ grant_types: grants }) => grants?.includes('client_credentials')),
    },
    revocation: {
      enabled: true,
      allowedPolicy: (_, client, token) => token.clientId === client.clientId,
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_, client, oneOf) =>
        resources.defaultFor(client, oneOf === undefined ? undefined : [oneOf].flat()),
      getResourceServerInfo: (_, identifier) => resources.serverFor(identifier),
      useGrantedResource: () => true,
    },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => {
        allowRedirectTo(ctx, ctx.oidc.session?.state?.['postLogoutRedirectUri']);
        ctx.body = logoutPage(form);
      },
      postLogoutSuccessSource: (ctx) => {
        ctx.type = 'html';
        ctx.body = loggedOutPage();
      },
    },
  };
}

function allowRedirectTo(ctx: KoaContextWithOIDC, uri: unknown): void {
  const target = formTargetOf(uri);
  if (target !== undefined) ctx.set('content-security-policy', contentSecurityPolicy([target]));
}

function renderError(
  ctx: KoaContextWithOIDC,
  out: { error: string; error_description?: string | undefined },
  thrown: unknown,
): void {
  ctx.type = 'html';
  if (thrown instanceof errors.SessionNotFound) {
    ctx.body = errorPage(strings.error.expired);
    return;
  }
  const { error, error_description: description = '' } = out;
  ctx.body =
    error === 'server_error'
      ? errorPage(strings.error.unknown)
      : errorPage(strings.error.request, { error, description });
}
