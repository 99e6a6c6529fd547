import type { Log } from '../../runtime/log.ts';
import type { Authenticate } from '../account/authenticate.ts';
import type { LoginThrottle } from '../account/login-throttle.ts';
import { createAccountPasskeys, type AccountPasskeys } from '../interaction/account-passkeys.ts';
import { createPasskeys } from '../passkey/passkeys.ts';
import type { PasskeyLogin } from '../passkey/passkey-login.ts';
import { passkeySiteOf, type PasskeySite } from '../passkey/site.ts';
import type { RequestContext } from '../request/request-context.ts';
import { createPasskeyStore } from '../store/passkey-store.ts';
import type { IdentityCore } from './identity-core.ts';
import type { OpenIdServiceOptions } from './openid-service-options.ts';

/** What the pages have of passkeys. */
export type PasskeyService = { login: PasskeyLogin; account: AccountPasskeys };

type Surroundings = {
  core: IdentityCore;
  authenticate: Authenticate;
  throttle: LoginThrottle;
  context(): RequestContext;
};

/** @returns undefined, and a line in the log, where there can be none */
export async function createPasskeyService(
  options: OpenIdServiceOptions,
  { core, authenticate, throttle, context }: Surroundings,
): Promise<PasskeyService | undefined> {
  const { issuer, database, clock, log, metrics, passkeys: settings } = options;
  const site = passkeySiteOf(issuer, settings);
  tell(site, issuer, log);
  if (site.kind === 'off') return undefined;
  const { maxPerAccount } = settings;
  const passkeys = createPasskeyStore(database);
  const common = { ...core, passkeys, maxPerAccount, clock, log };
  const { login, adding } = await createPasskeys({ ...common, site, throttle, metrics });
  return { login, account: createAccountPasskeys({ ...common, adding, authenticate, context }) };
}

function tell(site: PasskeySite, issuer: string, log: Log): void {
  if (site.kind === 'on') return log.info('passkeys are on', { host: site.rpId });
  switch (site.why) {
    case 'configured':
      return log.info('passkeys are off, as configured');
    case 'insecure':
      return log.warn('passkeys are off: browsers keep them for https only, and for localhost', { issuer });
    case 'address':
      return log.warn('passkeys are off: browsers keep them for names, not for addresses', { issuer });
  }
}
