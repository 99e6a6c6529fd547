import type { Secret } from '../runtime/secret.ts';
import type { Algorithm } from '../vocabulary/algorithms.ts';
import type { JwksSettings } from '../token/jwks-settings.ts';
import type { PresetName } from '../token/preset.ts';
import type { RevocationKind } from '../revocation-log/event.ts';

/*
 * Receivers as a configuration file gives them; durations in ms. Every program that has receivers configures them the
 * same way, each by its own schema.
 */

/** An issuer whose tokens are revoked, and where the keys of what it sends are unless a receiver says otherwise. */
export type IssuerSettings = {
  readonly issuer: string;
  readonly preset?: PresetName | undefined;
  /** The claim that ties its access tokens to a session. Default: the preset's, else `sid`. */
  readonly sessionClaim?: string | undefined;
  readonly algorithms?: readonly Algorithm[] | undefined;
  readonly jwks?: JwksSettings | undefined;
};

type Shared = {
  readonly path: string;
  /** What the `Authorization` header must be, beside the signature. */
  readonly authorization?: Secret | undefined;
  /** How long the sender goes on trying to deliver; 0: it tries once. */
  readonly redelivery: number;
};

type Keys = {
  readonly issuer: string;
  readonly algorithms?: readonly Algorithm[] | undefined;
  readonly jwks?: JwksSettings | undefined;
};

export type SetPushSettings = Shared &
  Keys & {
    readonly kind: 'set-push';
    readonly sender?: string | undefined;
    readonly audience: readonly string[];
    readonly credentialChange: boolean;
    readonly trustSessionIds: boolean;
  };

export type BackchannelLogoutSettings = Shared &
  Keys & {
    readonly kind: 'backchannel-logout';
    readonly audience: readonly string[];
    /** Whether a logout token must have `exp`. */
    readonly exp: 'required' | 'optional';
    /** The session claim of access tokens holds the same id as `sid`. Default: if it is called `sid`. */
    readonly tokensHoldSid?: boolean | undefined;
  };

export type FusionAuthSettings = Shared &
  Keys & {
    readonly kind: 'fusionauth';
    readonly tenant?: string | undefined;
    readonly secret?:
      | { readonly file: string; readonly encoding: 'base64url' | 'raw'; readonly kid: string }
      | undefined;
  };

export type WebhookSettings = Shared & {
  readonly kind: 'webhook';
  readonly issuer: readonly string[];
  readonly secrets: readonly Secret[];
  readonly kinds: readonly RevocationKind[];
};

export type ReceiverSettings =
  | SetPushSettings
  | BackchannelLogoutSettings
  | FusionAuthSettings
  | WebhookSettings;
