import type { ClientMetadata } from 'oidc-provider';
import type { Outbox } from '../../publisher/outbox.ts';
import type { Database } from '../../publisher/store/database.ts';
import type { Address } from '../../runtime/address.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Part } from '../../runtime/lifecycle.ts';
import type { Log } from '../../runtime/log.ts';
import type { OwnerMetrics } from '../../runtime/metrics.ts';
import { createAuthenticate } from '../account/authenticate.ts';
import { createLoginThrottle, type LoginThrottleOptions } from '../account/login-throttle.ts';
import type { PasswordCost } from '../account/password.ts';
import { createResources, type AccessTokenSigning } from '../grant/resources.ts';
import { createInteractions } from '../interaction/interactions.ts';
import type { KeyRing } from '../key/key-ring.ts';
import { createRevoker } from '../session/revoker.ts';
import { createAccountStore } from '../store/account-store.ts';
import { createAuditStore } from '../store/audit-store.ts';
import { createGrantStore } from '../store/grant-store.ts';
import { createProviderAdapter } from '../store/provider-adapter.ts';
import { createSessionStore } from '../store/session-store.ts';
import { createTokenStore } from '../store/token-store.ts';
import { createFindAccount, credentialsVersion } from './find-account.ts';
import { readForm } from './form-body.ts';
import { createHandler } from './handler.ts';
import { createHttpServer } from './http-server.ts';
import { createProviderHolder } from './provider-holder.ts';
import { createRequestScopes } from './request-scopes.ts';

export type OpenIdServiceOptions = {
  issuer: string;
  address: Address;
  trustedProxyHops: number;
  clients: readonly ClientMetadata[];
  resources: Readonly<Record<string, { readonly scopes: readonly string[] }>>;
  /** Algorithm of ID tokens. */
  idTokenAlgorithm: 'RS256' | 'ES256' | 'EdDSA';
  accessTokenLifetimeSeconds: number;
  refreshTokenLifetimeSeconds: number;
  /** Signs access tokens; left out: the key that signs ID tokens. */
  sharedKey?: { kid: string; current(): Buffer };
  keyRing: KeyRing;
  /** Migrated before the start. */
  database: Database;
  outbox: Outbox;
  clock: Clock;
  log: Log;
  metrics: Pick<OwnerMetrics, 'tokensIssued' | 'refreshReuse' | 'logins'>;
  throttle?: Pick<LoginThrottleOptions, 'perAccount' | 'perAddress'>;
  passwordCost?: PasswordCost;
  /** Default 3 s; see `ProviderAdapterOptions`. */
  rotationLeewayMs?: number;
};

const defaultRotationLeewayMs = 3000;

/** The OpenID provider with its pages. Two parts, in order: the provider, and the listener in front of it. */
export async function createOpenIdService(options: OpenIdServiceOptions): Promise<Part[]> {
  const { database, outbox, issuer, clock, log, metrics } = options;
  const scopes = createRequestScopes({ clock, trustedProxyHops: options.trustedProxyHops });
  const scope = scopes.current;
  const accounts = createAccountStore(database);
  const sessions = createSessionStore(database);
  const grants = createGrantStore(database);
  const tokens = createTokenStore(database);
  const audit = createAuditStore(database);
  const revoker = createRevoker({ grants, audit, outbox, issuer, clock, metrics, log });
  const throttle = createLoginThrottle({ clock, ...options.throttle });
  const cost = options.passwordCost === undefined ? {} : { cost: options.passwordCost };
  const authenticate = await createAuthenticate({ accounts, throttle, metrics, log, ...cost });
  const resources = createResources({ ...options, signing: () => signingOf(options) });
  const rotationLeewayMs = options.rotationLeewayMs ?? defaultRotationLeewayMs;
  const adapterParts = { grants, tokens, sessions, revoker, clock, scope, rotationLeewayMs };

  const holder = createProviderHolder({
    provider: {
      ...options,
      resources,
      authenticate,
      findAccount: createFindAccount({ accounts, sessions, scope }),
      adapter: createProviderAdapter(adapterParts),
      scope,
    },
    keyRing: options.keyRing,
    metrics,
    log,
  });
  const { provider, listener } = holder;
  const interactions = createInteractions({
    issuer,
    provider,
    authenticate,
    scope,
    readForm,
    credentialsVersion,
  });
  const handler = createHandler({ issuer, listener, interactions, resources, scopes });
  return [holder, createHttpServer({ address: options.address, handler, log })];
}

function signingOf({ sharedKey, keyRing, idTokenAlgorithm }: OpenIdServiceOptions): AccessTokenSigning {
  return sharedKey === undefined
    ? { alg: idTokenAlgorithm, kid: keyRing.current().signingKeyId }
    : { alg: 'HS256', kid: sharedKey.kid, key: sharedKey.current() };
}
