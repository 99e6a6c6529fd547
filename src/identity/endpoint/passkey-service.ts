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

/** The passkey functions of the pages. */
export type PasskeyService = { login: PasskeyLogin; account: AccountPasskeys };

type PasskeyServiceDependencies = {
  core: IdentityCore;
  authenticate: Authenticate;
  throttle: LoginThrottle;
  context(): RequestContext;
};

/** Logs whether passkeys are enabled. @returns undefined if they are not */
export async function createPasskeyService(
  options: OpenIdServiceOptions,
  { core, authenticate, throttle, context }: PasskeyServiceDependencies,
): Promise<PasskeyService | undefined> {
  const { issuer, database, clock, log, metrics, passkeys: settings } = options;
  const site = passkeySiteOf(issuer, settings);
  logSite(site, issuer, log);
  if (site.kind === 'off') return undefined;
  const { maxPerAccount } = settings;
  const passkeys = createPasskeyStore(database);
  const common = { ...core, passkeys, maxPerAccount, clock, log };
  const { login, adding } = await createPasskeys({ ...common, site, throttle, metrics });
  return { login, account: createAccountPasskeys({ ...common, adding, authenticate, context }) };
}

function logSite(site: PasskeySite, issuer: string, log: Log): void {
  if (site.kind === 'on') return log.info('passkeys enabled', { host: site.rpId });
  switch (site.why) {
    case 'configured':
      return log.info('passkeys disabled by configuration');
    case 'insecure':
      return log.warn('passkeys disabled: browsers support them only for https and localhost', { issuer });
    case 'address':
      return log.warn(
        'passkeys disabled: browsers support them only for domain names, not for IP addresses',
        { issuer },
      );
  }
}
