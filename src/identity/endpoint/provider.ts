import { interactionPolicy, Provider, type Configuration, type RefreshToken } from 'oidc-provider';
import { Fault } from '../../runtime/fault.ts';
import { grantIdClaim } from '../../token/claims.ts';
import { loginGrantType } from '../../vocabulary/grant-types.ts';
import { createLoginGrant, loginGrantParameters } from '../grant/login-grant.ts';
import { rotateForTarget } from '../grant/refresh-target.ts';
import type { Keys } from '../key/key-ring.ts';
import { generateRefreshTokenId } from '../session/refresh-token-id.ts';
import { mountPath } from '../request/mount-path.ts';
import type { RequestContext } from '../request/request-context.ts';
import { logoutDefaults } from './backchannel-logout.ts';
import { answerUnavailable } from './answer-unavailable.ts';
import { createFindGrant } from './find-grant.ts';
import { featuresOf } from './provider-features.ts';
import type { ProviderOptions } from './provider-options.ts';
import { correctAnswers, renderError } from './provider-pages.ts';
import { requireSynchronisedClock } from './require-synchronised-clock.ts';
import { routes } from './request-contexts.ts';

// Other modes need a script, or expose the code to scripts.
const responseModes = ['query'];
const codeLifetimeSeconds = 60;
const deviceCodeLifetimeSeconds = 10 * 60;
const idTokenLifetimeSeconds = 60 * 60;
const interactionLifetimeSeconds = 15 * 60;

/** Creates the OpenID provider for one set of keys. Cost: some milliseconds. */
export function createProvider(options: ProviderOptions, keys: Keys): Provider {
  const provider = new Provider(options.issuer, configurationOf(options, keys));
  // Makes oidc-provider trust the headers for host and scheme, which `createHandler` sets to those of the
  // issuer.
  provider.proxy = true;
  const { authenticate, resources, context } = options;
  provider.registerGrantType(
    loginGrantType,
    createLoginGrant({ provider, authenticate, resources, context }),
    loginGrantParameters,
    'resource',
  );
  nameGrantInRefreshTokens(provider, context);
  returnStoredSuccessors(provider, context);
  provider.use(answerUnavailable(options));
  provider.use(requireSynchronisedClock(context));
  provider.use(correctAnswers(context, responseModes));
  return provider;
}

function nameGrantInRefreshTokens(provider: Provider, context: () => RequestContext): void {
  // The method that generates a token's value. The library's types don't declare it.
  Object.defineProperty(provider.RefreshToken.prototype, 'generateTokenId', {
    value(this: RefreshToken): string {
      const familyKey = context().grantsRead.get(this.grantId ?? '');
      if (this.grantId === undefined || familyKey === undefined)
        throw new Fault('ERR_INTERNAL', 'a refresh token needs a grant read in the same request');
      return generateRefreshTokenId(this.grantId, familyKey);
    },
  });
}

/**
 * The response to a repeated request contains the stored refresh token, not the one generated for this
 * request.
 */
function returnStoredSuccessors(provider: Provider, context: () => RequestContext): void {
  const { prototype } = provider.RefreshToken as { prototype: { save(): Promise<string> } };
  const { save } = prototype;
  Object.defineProperty(prototype, 'save', {
    async value(this: RefreshToken): Promise<string> {
      const generated = await save.call(this);
      return context().repeated ?? generated;
    },
  });
  provider.use(async (ctx, next) => {
    await next();
    if (context().rotation !== undefined && ctx.status === 200)
      throw new Fault('ERR_INTERNAL', 'a token was issued without using up its code');
  });
}

function configurationOf(options: ProviderOptions, keys: Keys): Configuration {
  return {
    adapter: options.adapter,
    clients: options.clients.map((client) => ({ ...client, response_modes: responseModes })),
    clientDefaults: {
      id_token_signed_response_alg: options.idTokenAlgorithm,
      ...logoutDefaults(options.clients),
    },
    extraClientMetadata: {
      properties: ['admin_scopes', 'consent_required', 'default_resource', 'may_introspect', 'resources'],
    },
    jwks: { keys: keys.signing },
    cookies: cookiesOf(options.issuer, keys),
    routes,
    responseTypes: ['code', 'none'],
    clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    pkce: { required: () => true },
    // The origin of an app's own URL scheme is `null`, but so is that of every sandboxed frame.
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
    renderError: renderError(options.context),
    fetch: fetchAnyAddress,
    fetchResponseBodyLimits: { jwks_uri: 64 * 1024 },
    ...tokensOf(options),
  };
}

/**
 * oidc-provider refuses private addresses. Here, the operator configures all addresses, and clients may be in
 * a cluster.
 */
const fetchAnyAddress: NonNullable<Configuration['fetch']> = (url, options = {}) => {
  Reflect.deleteProperty(options, 'dispatcher');
  return globalThis.fetch(url, options);
};

function tokensOf({
  accessTokenLifetimeSeconds,
  refreshTokenLifetimeSeconds,
  resources,
  context,
}: ProviderOptions): Configuration {
  return {
    claims: {
      openid: ['sub', 'amr'],
      profile: ['preferred_username'],
      auth_time: null,
      iss: null,
      sid: null,
    },
    conformIdTokenClaims: false,
    extraTokenClaims: (_, token) =>
      token.kind === 'AccessToken' ? { [grantIdClaim]: token.grantId } : undefined,
    formats: {
      customizers: {
        jwt: (_, __, { payload }) => {
          const { startedAt, isClockSynchronised } = context();
          if (!isClockSynchronised)
            throw new Fault('ERR_INTERNAL', 'a token would be issued while the clocks disagree');
          payload['iat'] = startedAt;
          payload['exp'] = startedAt + accessTokenLifetimeSeconds;
        },
      },
    },
    // Binds refresh tokens of a browser to its login, so that a logout revokes them. A device is not that
    // browser.
    expiresWithSession: (_, source) => source.sessionUid !== undefined && source.kind !== 'DeviceCode',
    // Also decides how a code is used: together with its refresh token, or alone.
    issueRefreshToken: () => context().mayRefresh,
    rotateRefreshToken: (ctx) => rotateForTarget(ctx, resources),
    revokeGrantPolicy: () => true,
    ttl: {
      AccessToken: accessTokenLifetimeSeconds,
      ClientCredentials: accessTokenLifetimeSeconds,
      AuthorizationCode: codeLifetimeSeconds,
      DeviceCode: deviceCodeLifetimeSeconds,
      IdToken: idTokenLifetimeSeconds,
      Interaction: interactionLifetimeSeconds,
      Grant: refreshTokenLifetimeSeconds,
      RefreshToken: refreshTokenLifetimeSeconds,
      // Without an account, a session only contains the secret of a form.
      Session: (_, session) =>
        session.accountId === undefined ? interactionLifetimeSeconds : refreshTokenLifetimeSeconds,
    },
  };
}

function cookiesOf(issuer: string, keys: Keys): Configuration['cookies'] {
  const isSecure = issuer.startsWith('https:');
  const options = { httpOnly: true, sameSite: 'lax', secure: isSecure, signed: true } as const;
  // With the prefix, browsers refuse such a cookie over plain HTTP (RFC 6265bis §4.1.3.1); `__Host-` also
  // refuses one from a sibling domain (§4.1.3.2).
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
