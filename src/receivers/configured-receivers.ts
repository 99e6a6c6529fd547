import { defaultAlgorithms, type Algorithm } from '../vocabulary/algorithms.ts';
import { jwksOrigin, secretOrigin } from '../token/configured-origin.ts';
import { createIssuerKeys, type IssuerKeysOptions, type KeyOrigin } from '../token/issuer-keys.ts';
import type { KeySet } from '../token/key-set.ts';
import { presets } from '../token/preset.ts';
import { createBackchannelLogout } from './backchannel-logout.ts';
import { createFusionAuth } from './fusionauth.ts';
import type { Receiver } from './receiver.ts';
import type {
  BackchannelLogoutSettings,
  FusionAuthSettings,
  IssuerSettings,
  ReceiverSettings,
  SetPushSettings,
} from './receiver-settings.ts';
import type { MountedReceiver } from './receivers.ts';
import { createSetPush } from './set-push.ts';
import { createStandardWebhook } from './webhook.ts';

export type ConfiguredReceiversOptions = Pick<IssuerKeysOptions, 'clock' | 'log' | 'metrics' | 'get'> & {
  readonly issuers: readonly IssuerSettings[];
  readonly receivers: readonly ReceiverSettings[];
  /** How far the issuers' clocks may be off; ms. */
  readonly clockToleranceMs: number;
};

/** How old a document may be at the first attempt to deliver it; ms. */
const deliveryMs = 5 * 60_000;

/**
 * The receivers of a configuration, for `createReceivers`. They read nothing before their start.
 * @throws ERR_CONFIG_INVALID if a JWKS address isn't allowed
 */
export function configuredReceivers(options: ConfiguredReceiversOptions): MountedReceiver[] {
  const issuers = new Map(options.issuers.map((issuer) => [issuer.issuer, issuer]));
  return options.receivers.map((settings) => ({
    receiver: receiverOf(settings, issuers, options),
    authorization: settings.authorization,
    redeliveryMs: settings.redelivery,
  }));
}

type Issuers = ReadonlyMap<string, IssuerSettings>;

function receiverOf(
  settings: ReceiverSettings,
  issuers: Issuers,
  options: ConfiguredReceiversOptions,
): Receiver {
  const { clockToleranceMs, log } = options;
  const { path } = settings;
  // A retry delivers the same document, so it may be as old as the sender's redelivery time.
  const dates = { clockToleranceMs, maxAgeMs: settings.redelivery + deliveryMs };
  switch (settings.kind) {
    case 'webhook':
      return createStandardWebhook({
        ...settings,
        issuers: settings.issuer,
        redeliveryMs: settings.redelivery,
        clockToleranceMs,
        log,
      });
    case 'fusionauth':
      return createFusionAuth({
        ...dates,
        ...keysOf(settings, issuers, options),
        path,
        issuer: settings.issuer,
        tenant: settings.tenant,
      });
    case 'backchannel-logout':
      return createBackchannelLogout({
        ...dates,
        ...keysOf(settings, issuers, options),
        path,
        issuer: settings.issuer,
        audiences: settings.audience,
        needsExpiry: settings.exp === 'required',
        tokensHoldSid: settings.tokensHoldSid ?? sessionClaimOf(issuers.get(settings.issuer)) === 'sid',
      });
    case 'set-push':
      return createSetPush({
        ...settings,
        ...dates,
        ...keysOf(settings, issuers, options),
        sender: settings.sender ?? settings.issuer,
        audiences: settings.audience,
      });
  }
}

function sessionClaimOf(issuer: IssuerSettings | undefined): string {
  const preset = issuer?.preset === undefined ? undefined : presets[issuer.preset];
  return issuer?.sessionClaim ?? preset?.sessionClaim ?? 'sid';
}

type Keyed = SetPushSettings | BackchannelLogoutSettings | FusionAuthSettings;

/**
 * The keys that verify deliveries: the receiver's own or, if the tokens' issuer is the sender, the issuer's.
 */
function keysOf(
  settings: Keyed,
  issuers: Issuers,
  options: ConfiguredReceiversOptions,
): { algorithms: readonly Algorithm[]; keySet: KeySet } {
  const sender = ('sender' in settings ? settings.sender : undefined) ?? settings.issuer;
  const secret = 'secret' in settings ? settings.secret : undefined;
  const issuer = issuers.get(sender);
  const algorithms =
    settings.algorithms ?? (secret === undefined ? (issuer?.algorithms ?? defaultAlgorithms) : ['HS256']);
  const origin: KeyOrigin =
    secret === undefined ? jwksOrigin(settings.jwks ?? issuer?.jwks) : secretOrigin(secret);
  return { algorithms, keySet: createIssuerKeys({ ...options, issuer: sender, algorithms, origin }) };
}
