import type { ClientMetadata } from 'oidc-provider';
import type { Outbox } from '../../publisher/outbox.ts';
import type { Receivers } from '../../receivers/receivers.ts';
import type { Database } from '../../database/database.ts';
import type { Address } from '../../runtime/address.ts';
import type { Clock } from '../../runtime/clock.ts';
import { createHttpServer } from '../../runtime/http-server.ts';
import type { Part } from '../../runtime/lifecycle.ts';
import type { Log } from '../../runtime/log.ts';
import type { OwnerMetrics } from '../../runtime/metrics.ts';
import { createAdminApi, type AdminApi } from '../admin/admin-api.ts';
import { createAuthenticate } from '../account/authenticate.ts';
import { createLoginThrottle, type LoginThrottleOptions } from '../account/login-throttle.ts';
import type { PasswordCost } from '../account/password.ts';
import { accountClient } from '../interaction/account-client.ts';
import { createAccountPages } from '../interaction/account-pages.ts';
import { createInteractions } from '../interaction/interactions.ts';
import type { SigningKeyRing } from '../key/key-ring.ts';
import type { IssuingClock } from '../session/issuing-clock.ts';
import type { ProviderAdapterOptions } from '../adapter/adapter-parts.ts';
import { createProviderAdapter } from '../adapter/provider-adapter.ts';
import { createClientNotices } from './backchannel-logout.ts';
import { createClientThrottle } from './client-throttle.ts';
import { createFindAccount, credentialsVersion } from './find-account.ts';
import { readForm, readText } from './form-body.ts';
import { createHandler } from './handler.ts';
import { createIdentityCore, type IdentityCore } from './identity-core.ts';
import { createPasskeyService, type PasskeyServiceSettings } from './passkey-service.ts';
import { createProviderHolder, type ProviderHolder } from './provider-holder.ts';
import { createRequestContexts, type RequestContexts } from './request-contexts.ts';
import { createVisitThrottle, type VisitThrottleOptions } from './visit-throttle.ts';

export type OpenIdServiceOptions = {
  issuer: string;
  address: Address;
  trustedProxyHops: number;
  /** Of the revocation log. */
  logName: string;
  clients: readonly ClientMetadata[];
  resources: Readonly<Record<string, { readonly scopes: readonly string[] }>>;
  /** Algorithm of ID tokens. */
  idTokenAlgorithm: 'RS256' | 'ES256' | 'EdDSA';
  accessTokenLifetimeSeconds: number;
  refreshTokenLifetimeSeconds: number;
  /** See `ProviderAdapterOptions`. */
  refreshGraceMs: number;
  /** Signs access tokens; left out: the key that signs ID tokens. */
  sharedKey?: { kid: string; current(): Buffer };
  keyRing: SigningKeyRing;
  /** Migrated before the start. */
  database: Database;
  outbox: Outbox;
  /** Asked first: notices about issuers of others come in at the same listener. */
  receivers: Pick<Receivers, 'handle' | 'crowdedOut'>;
  clock: Clock;
  /** Started before. */
  issuingClock: Pick<IssuingClock, 'now' | 'state'>;
  log: Log;
  metrics: Pick<OwnerMetrics, 'tokensIssued' | 'tokenRepeats' | 'refreshReuse' | 'logins'>;
  /** Most sessions of an account; the one unused for longest ends for a new one. */
  maxSessionsPerAccount: number;
  passkeys: PasskeyServiceSettings;
  visits?: Omit<VisitThrottleOptions, 'clock'>;
  throttle?: Pick<LoginThrottleOptions, 'perAccount' | 'perAddress'>;
  passwordCost?: PasswordCost;
  /** Default 3 s; see `ProviderAdapterOptions`. */
  rotationLeewayMs?: number;
};

const defaultRotationLeewayMs = 3000;

/** The OpenID provider with its pages. Parts in order: what takes lost uses back, the provider, what it tells clients, the listener in front. */
export async function createOpenIdService(options: OpenIdServiceOptions): Promise<Part[]> {
  const { issuer, clock, log, metrics, keyRing } = options;
  const contexts = createRequestContexts(options);
  const context = contexts.current;
  const notices = createClientNotices(options, () => holder.provider());
  const core = createIdentityCore(options, { ended: notices.add });
  const { accounts, sessions, resources } = core;
  const throttle = createLoginThrottle({ clock, ...options.throttle });
  const cost = options.passwordCost === undefined ? {} : { cost: options.passwordCost };
  const authenticate = await createAuthenticate({ accounts, throttle, metrics, log, ...cost });
  const passkeys = await createPasskeyService(options, { core, authenticate, throttle, context });
  const rotationLeewayMs = options.rotationLeewayMs ?? defaultRotationLeewayMs;
  const { maxSessionsPerAccount, refreshGraceMs } = options;
  const limits = { rotationLeewayMs, refreshGraceMs, maxSessionsPerAccount };

  const holder = createProviderHolder({
    provider: {
      ...options,
      ...core,
      clients: [...options.clients, accountClient(issuer)],
      authenticate,
      findAccount: createFindAccount({ accounts, sessions, context }),
      adapter: createProviderAdapter({
        ...core,
        ...limits,
        clock,
        context,
        noteRepeat: repeatNoter(options),
      }),
      context,
    },
    keyRing,
    metrics,
    log,
  });
  const { provider, listener } = holder;
  const pages = { issuer, provider, context, readForm };
  const cookieSecrets = (): readonly string[] => keyRing.current().cookieSecrets;
  const handler = createHandler({
    issuer,
    listener,
    interactions: createInteractions({
      ...pages,
      authenticate,
      passkeyLogin: passkeys?.login,
      resourceName: resources.nameOf,
      credentialsVersion,
    }),
    accountPages: createAccountPages({ ...pages, ...core, cookieSecrets, passkeys: passkeys?.account }),
    resources,
    visits: createVisitThrottle({ clock, ...options.visits }),
    clientThrottle: createClientThrottle({ clock }),
    adminApi: adminApiOf(options, core, holder, context),
    contexts,
  });
  return [core.recovery, holder, notices, listenerOf(options, handler)];
}

const grantOfKind = {
  RefreshToken: 'refresh_token',
  AuthorizationCode: 'authorization_code',
  DeviceCode: 'device_code',
} as const;

const repeatNoter =
  ({ metrics, log }: OpenIdServiceOptions): ProviderAdapterOptions['noteRepeat'] =>
  (kind, caller) => {
    metrics.tokenRepeats.inc({ grant: grantOfKind[kind], caller });
    log.info('token request answered again', { kind: grantOfKind[kind] });
  };

function listenerOf(
  { address, receivers, log }: OpenIdServiceOptions,
  handler: ReturnType<typeof createHandler>,
): Part {
  return createHttpServer({
    address,
    handler: async (request, response) => {
      if (await receivers.handle(request, response)) return;
      await handler(request, response);
    },
    crowdedOut: receivers.crowdedOut,
    log,
  });
}

/** The administration API, if there is a client that may use it. */
function adminApiOf(
  { clients, issuer, logName, keyRing, clock }: OpenIdServiceOptions,
  core: IdentityCore,
  { refresh }: ProviderHolder,
  context: RequestContexts['current'],
): AdminApi | undefined {
  if (!clients.some(({ admin_scopes: scopes }) => scopes !== undefined)) return undefined;
  const address = (): string => context().address;
  const { adminTokenVerifier: issuedTokenVerifier } = core;
  const work = { ...core, issuedTokenVerifier, keyRing, refreshKeys: refresh, logName, clock };
  return createAdminApi({ ...work, issuer, address, readBody: readText });
}
