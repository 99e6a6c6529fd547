import type * as Library from '@simplewebauthn/server';
import type { decodeAttestationObject as DecodeAttestation } from '@simplewebauthn/server/helpers';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { OwnerMetrics } from '../../runtime/metrics.ts';
import type { LoginThrottle } from '../account/login-throttle.ts';
import type { AccountStore } from '../store/account-store.ts';
import type { AuditStore } from '../store/audit-store.ts';
import type { PasskeyStore } from '../store/passkey-store.ts';
import type { TokenStore } from '../store/token-store.ts';
import { createChallenges, type Challenges } from './challenges.ts';
import { createPasskeyAdding, type PasskeyAdding } from './passkey-adding.ts';
import { createPasskeyLogin, type PasskeyLogin } from './passkey-login.ts';
import type { PasskeySite } from './site.ts';

export type PasskeysOptions = {
  site: Extract<PasskeySite, { kind: 'on' }>;
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

/** What adding and using a passkey have in common. */
export type PasskeyParts = {
  site: PasskeysOptions['site'];
  library: Pick<
    typeof Library,
    | 'generateAuthenticationOptions'
    | 'generateRegistrationOptions'
    | 'verifyAuthenticationResponse'
    | 'verifyRegistrationResponse'
  >;
  decodeAttestation: typeof DecodeAttestation;
  passkeys: PasskeyStore;
  challenges: Challenges;
  clock: Clock;
};

export type Passkeys = { login: PasskeyLogin; adding: PasskeyAdding };

/** Logging in with passkeys, and adding them (WebAuthn Level 3 §7). Cost: the library takes 25 MB, so it is loaded here. */
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
