import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { OwnerMetrics } from '../../runtime/metrics.ts';
import type { LoginThrottle } from '../account/login-throttle.ts';
import type { AccountStore } from '../store/account-store.ts';
import type { AuditStore } from '../store/audit-store.ts';
import type { PasskeyStore } from '../store/passkey-store.ts';
import type { TokenStore } from '../store/token-store.ts';
import { createChallenges } from './challenges.ts';
import { createPasskeyAdding, type PasskeyAdding } from './passkey-adding.ts';
import { createPasskeyLogin, type PasskeyLogin } from './passkey-login.ts';
import type { EnabledPasskeySite } from './site.ts';

export type PasskeysOptions = {
  site: EnabledPasskeySite;
  passkeys: PasskeyStore;
  accounts: AccountStore;
  tokens: TokenStore;
  audit: AuditStore;
  throttle: LoginThrottle;
  metrics: Pick<OwnerMetrics, 'logins'>;
  maxPerAccount: number;
  clock: Clock;
  log: Log;
};

export type Passkeys = { login: PasskeyLogin; adding: PasskeyAdding };

/**
 * Creates login and registration with passkeys (WebAuthn Level 3 §7). Loads the library here because it takes
 * 25 MB.
 */
export async function createPasskeys(options: PasskeysOptions): Promise<Passkeys> {
  const library = await import('@simplewebauthn/server');
  const { decodeAttestationObject } = await import('@simplewebauthn/server/helpers');
  const parts = {
    ...options,
    library,
    decodeAttestation: decodeAttestationObject,
    challenges: createChallenges(options),
  };
  return { login: createPasskeyLogin(parts), adding: createPasskeyAdding(parts) };
}
