import { createHttpServer } from '../../runtime/http-server.ts';
import type { Part } from '../../runtime/lifecycle.ts';
import { createAdminApi, type AdminApi } from '../admin/admin-api.ts';
import { createAuthenticate } from '../account/authenticate.ts';
import { createLoginThrottle } from '../account/login-throttle.ts';
import { accountClient } from '../interaction/account-client.ts';
import { createAccountPages } from '../interaction/account-pages.ts';
import { createInteractions } from '../interaction/interactions.ts';
import type { ProviderAdapterOptions } from '../adapter/adapter-parts.ts';
import { createProviderAdapter } from '../adapter/provider-adapter.ts';
import { createClientNotices } from './backchannel-logout.ts';
import { createClientThrottle } from './client-throttle.ts';
import { createFindAccount, credentialsVersion } from './find-account.ts';
import { readForm, readText } from './form-body.ts';
import { createHandler } from './handler.ts';
import { createIdentityCore, type IdentityCore } from './identity-core.ts';
import type { OpenIdServiceOptions } from './openid-service-options.ts';
import { createPasskeyService } from './passkey-service.ts';
import type { ProviderOptions } from './provider-options.ts';
import { createProviderHolder, type ProviderHolder } from './provider-holder.ts';
import { createRequestContexts, type RequestContexts } from './request-contexts.ts';
import { createVisitThrottle } from './visit-throttle.ts';

const defaultRotationLeewayMs = 3000;

/**
 * The OpenID provider and its pages.
 * @returns its parts in start order: recovery of lost token uses, the provider, logout notices, the public
 * listener
 */
export async function createOpenIdService(options: OpenIdServiceOptions): Promise<Part[]> {
  const { clock, log, metrics, keyRing } = options;
  const contexts = createRequestContexts(options);
  const context = contexts.current;
  const notices = createClientNotices(options, (notice) => holder.sendLogoutNotice(notice));
  const core = createIdentityCore(options, { ended: notices.add });
  const { accounts, resources } = core;
  const throttle = createLoginThrottle({ clock, ...options.throttle });
  const cost = options.passwordCost === undefined ? {} : { cost: options.passwordCost };
  const authenticate = await createAuthenticate({ accounts, throttle, metrics, log, ...cost });
  const passkeys = await createPasskeyService(options, { core, authenticate, throttle, context });
  const provider = providerOptions(options, { core, authenticate, context });
  const holder = createProviderHolder({ provider, keyRing, metrics, log });
  const pages = { issuer: options.issuer, provider: holder.provider, context, readForm };
  const cookieSecrets = (): readonly string[] => keyRing.current().cookieSecrets;
  const handler = createHandler({
    issuer: options.issuer,
    listener: holder.listener,
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

type ProviderDependencies = Pick<ProviderOptions, 'authenticate' | 'context'> & { core: IdentityCore };

function providerOptions(
  options: OpenIdServiceOptions,
  { core, authenticate, context }: ProviderDependencies,
): ProviderOptions {
  const {
    clock,
    maxSessionsPerAccount,
    refreshGraceMs,
    rotationLeewayMs = defaultRotationLeewayMs,
  } = options;
  const limits = { maxSessionsPerAccount, refreshGraceMs, rotationLeewayMs };
  const onRepeat = repeatRecorder(options);
  return {
    ...options,
    ...core,
    clients: [...options.clients, accountClient(options.issuer)],
    authenticate,
    findAccount: createFindAccount({ ...core, context }),
    adapter: createProviderAdapter({ ...core, ...limits, clock, context, onRepeat }),
    context,
  };
}

const grantOfKind = {
  RefreshToken: 'refresh_token',
  AuthorizationCode: 'authorization_code',
  DeviceCode: 'device_code',
} as const;

const repeatRecorder =
  ({ metrics, log }: OpenIdServiceOptions): ProviderAdapterOptions['onRepeat'] =>
  (kind, caller) => {
    metrics.tokenRepeats.inc({ grant: grantOfKind[kind], caller });
    log.info('token request repeated', { kind: grantOfKind[kind] });
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

/** The administration API, if a client may use it. */
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
