import type { ClientMetadata } from 'oidc-provider';
import type { Database } from '../../database/database.ts';
import type { Outbox } from '../../publisher/outbox.ts';
import type { Receivers } from '../../receivers/receivers.ts';
import type { Address } from '../../runtime/address.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { OwnerMetrics } from '../../runtime/metrics.ts';
import type { SigningAlgorithm } from '../../vocabulary/algorithms.ts';
import type { LoginThrottleOptions } from '../account/login-throttle.ts';
import type { PasswordCost } from '../account/password.ts';
import type { SigningKeyRing } from '../key/key-ring.ts';
import type { PasskeySettings } from '../passkey/site.ts';
import type { IssuingClock } from '../session/issuing-clock.ts';
import type { VisitThrottleOptions } from './visit-throttle.ts';

export type OpenIdServiceOptions = {
  issuer: string;
  address: Address;
  trustedProxyHops: number;
  /** The name of the revocation log. */
  logName: string;
  clients: readonly ClientMetadata[];
  resources: Readonly<Record<string, { readonly scopes: readonly string[] }>>;
  /** The algorithm of ID tokens. */
  idTokenAlgorithm: SigningAlgorithm;
  accessTokenLifetimeSeconds: number;
  refreshTokenLifetimeSeconds: number;
  /** See `ProviderAdapterOptions`. */
  refreshGraceMs: number;
  /** Signs access tokens. Default: the key that signs ID tokens. */
  sharedKey?: { kid: string; current(): Buffer };
  keyRing: SigningKeyRing;
  /** Must be migrated before the start. */
  database: Database;
  outbox: Outbox;
  /** Handles requests first: events of other issuers arrive at the same listener. */
  receivers: Pick<Receivers, 'handle' | 'crowdedOut'>;
  clock: Clock;
  /** Must be started before. */
  issuingClock: Pick<IssuingClock, 'now' | 'state'>;
  log: Log;
  metrics: Pick<OwnerMetrics, 'tokensIssued' | 'tokenRepeats' | 'refreshReuse' | 'logins'>;
  /** See `ProviderAdapterOptions`. */
  maxSessionsPerAccount: number;
  passkeys: PasskeySettings & { maxPerAccount: number };
  visits?: Omit<VisitThrottleOptions, 'clock'>;
  throttle?: Pick<LoginThrottleOptions, 'perAccount' | 'perAddress'>;
  passwordCost?: PasswordCost;
  /** Default 3 s; see `ProviderAdapterOptions`. */
  rotationLeewayMs?: number;
};
