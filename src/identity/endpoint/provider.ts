import {
  errors,
  interactionPolicy,
  Provider,
  type AdapterFactory,
  type ClientMetadata,
  type Configuration,
  type FindAccount,
  type KoaContextWithOIDC,
  type RefreshToken,
} from 'oidc-provider';
import { Fault } from '../../runtime/fault.ts';
import { grantIdClaim } from '../../token/claims.ts';
import type { Authenticate } from '../account/authenticate.ts';
import { createLoginGrant, loginGrantParameters, loginGrantType } from '../grant/login-grant.ts';
import { rotateForTarget } from '../grant/refresh-target.ts';
import type { Resources } from '../grant/resources.ts';
import { errorPage, loggedOutPage, logoutPage } from '../interaction/pages.ts';
import { selfSubmittingPage } from '../interaction/self-submitting-page.ts';
import { strings } from '../interaction/strings.ts';
import type { Keys } from '../key/key-ring.ts';
import { generateRefreshTokenId } from '../session/refresh-token-id.ts';
import type { RequestScope } from '../session/request-scope.ts';
import { createFindGrant } from './find-grant.ts';
import { routes } from './request-scopes.ts';
import { formTargetOf } from './security-headers.ts';

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

// The others need a script, or leave the code where scripts find it.
const responseModes = ['query'];
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
  nameFamilyInRefreshTokens(provider, scope);
  provider.use(correctAnswers);
  return provider;
}

function nameFamilyInRefreshTokens(provider: Provider, scope: () => RequestScope): void {
  // What makes a token's value; the library's types leave it out.
  Object.defineProperty(provider.RefreshToken.prototype, 'generateTokenId', {
    value(this: RefreshToken): string {
      const familyKey = scope().grantsRead.get(this.grantId ?? '');
      if (this.grantId === undefined || familyKey === undefined)
        throw new Fault('ERR_INTERNAL', 'a refresh token needs a grant read in the same request');
      return generateRefreshTokenId(this.grantId, familyKey);
    },
  });
}

const correctAnswers: Parameters<Provider['use']>[0] = async (ctx, next) => {
  await next();
  if (ctx.path.startsWith('/.well-known/') && ctx.body !== null && typeof ctx.body === 'object')
    Object.assign(ctx.body, { response_modes_supported: responseModes });
  const restyled = selfSubmittingPage(ctx.body);
  if (restyled !== undefined) {
    ctx.body = restyled;
    allowRedirectTo(ctx, ctx.oidc?.session?.state?.['postLogoutRedirectUri']);
  }
  if (ctx.status !== 404 || ctx.body !== undefined) return;
  ctx.type = 'html';
  ctx.body = errorPage(strings.error.notFound);
  ctx.status = 404;
};

function configurationOf(options: ProviderOptions, keys: Keys): Configuration {
  return {
    adapter: options.adapter,
    clients: options.clients.map((client) => ({ ...client, response_modes: responseModes })),
    clientDefaults: { id_token_signed_response_alg: options.idTokenAlgorithm },
    extraClientMetadata: { properties: ['default_resource'] },
    jwks: { keys: keys.signing },
    cookies: cookiesOf(options.issuer, keys),
    routes,
    responseTypes: ['code'],
    clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    pkce: { required: () => true },
    // An app's own scheme has the origin `null`, and so does every sandboxed frame.
    clientBasedCORS: (_, origin, client) =>
      client.clientAuthMethod === 'none' &&
      origin !== 'null' &&
      (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin),
    features: featuresOf(options),
    interactions: {
      policy: interactionPolicy.base(),
      url: (_, interaction) => `${mountPath(options.issuer)}/interaction/${interaction.uid}`,
    },
    findAccount: options.findAccount,
    loadExistingGrant: createFindGrant(options),
    renderError,
    fetchResponseBodyLimits: { jwks_uri: 64 * 1024 },
    ...tokensOf(options),
  };
}

function tokensOf({
  accessTokenLifetimeSeconds,
  refreshTokenLifetimeSeconds,
  resources,
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
    rotateRefreshToken: (ctx) => rotateForTarget(ctx, resources),
    revokeGrantPolicy: () => true,
    ttl: {
      AccessToken: accessTokenLifetimeSeconds,
      ClientCredentials: accessTokenLifetimeSeconds,
      AuthorizationCode: codeLifetimeSeconds,
      IdToken: idTokenLifetimeSeconds,
      Interaction: interactionLifetimeSeconds,
      Grant: refreshTokenLifetimeSeconds,
      RefreshToken: refreshTokenLifetimeSeconds,
      // Of nobody yet, it only carries a form's secret.
      Session: (_, session) =>
        session.accountId === undefined ? interactionLifetimeSeconds : refreshTokenLifetimeSeconds,
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

/** Adds to the policy, which may hold a script's hash by now. */
function allowRedirectTo(ctx: Pick<KoaContextWithOIDC, 'response' | 'set'>, uri: unknown): void {
  const target = formTargetOf(uri);
  if (target === undefined) return;
  const policy = ctx.response.get('content-security-policy');
  ctx.set('content-security-policy', policy.replace("form-action 'self'", `form-action 'self' ${target}`));
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
