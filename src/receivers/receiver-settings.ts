import type { Secret } from '../runtime/secret.ts';
import type { Algorithm } from '../vocabulary/algorithms.ts';
import type { JwksSettings } from '../token/configured-origin.ts';
import type { PresetName } from '../vocabulary/preset-names.ts';
import type { RevocationKind } from '../revocation-log/event.ts';

/*
 * Receivers as a configuration file gives them. Durations in ms. Every program with receivers configures them
 * in the same way, in its own schema.
 */

/**
 * An issuer whose tokens are revoked, with the keys that verify its notices unless a receiver has its own.
 */
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
  /** The required value of the `Authorization` header. The signature is required as well. */
  readonly authorization?: Secret | undefined;
  /** How long the sender retries a delivery; 0: it doesn't retry. */
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
    /**
     * Whether the session claim of access tokens holds the id that `sid` holds. Default: true if the claim is
     * `sid`.
     */
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
