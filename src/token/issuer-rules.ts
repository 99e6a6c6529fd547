import { accessTokenType, grantIdClaim } from './claims.ts';
import { defaultAlgorithms, type Algorithm } from '../vocabulary/algorithms.ts';
import type { PresetName } from '../vocabulary/preset-names.ts';
import { presets, type SessionExemption } from './preset.ts';

/**
 * An issuer as configured; durations in milliseconds. An absent setting has the preset's value, or else the
 * default.
 */
export type IssuerOptions = {
  /** Equals `iss`, byte for byte. */
  readonly issuer: string;
  readonly preset?: PresetName | undefined;
  /** `aud` must hold one of them. */
  readonly audiences: readonly string[] | 'any';
  /** Default RS256, PS256, ES256, EdDSA. */
  readonly algorithms?: readonly Algorithm[] | undefined;
  /** Accepted `typ`; `none` for an absent one. Default `at+jwt`. */
  readonly types?: readonly string[] | undefined;
  /** Default `grant_id`. */
  readonly sessionClaim?: string | undefined;
  readonly sessionExempt?: SessionExemption | undefined;
  /** Default 5 minutes. */
  readonly maxTokenLifetimeMs?: number | undefined;
  /** Default 5 seconds. */
  readonly clockToleranceMs?: number | undefined;
  /** Default `required`. */
  readonly revocation?: 'required' | 'none' | undefined;
};

/** The rules for an issuer's tokens, with presets and defaults applied. */
export type IssuerRules = {
  readonly issuer: string;
  readonly audiences: readonly string[] | 'any';
  readonly algorithms: readonly Algorithm[];
  /** In lower case, without `application/`. */
  readonly types: readonly string[];
  readonly sessionClaim: string;
  readonly sessionExempt: SessionExemption | undefined;
  /** Claims that may name the client; the first one present is the token's client. */
  readonly clientClaims: readonly string[];
  readonly maxTokenLifetimeSeconds: number;
  readonly clockToleranceSeconds: number;
  readonly revocable: boolean;
};

/**
 * How much longer than `maxTokenLifetime` a token may live; seconds. An issuer that rounds `exp` up and `iat`
 * down, as Ory Hydra does, issues tokens of 301 s for a lifetime of 300 s. Logs keep revocations for that
 * second too.
 */
export const lifetimeSlackSeconds = 1;

const defaultClientClaims = ['client_id', 'azp'];
const defaultMaxTokenLifetimeMs = 300_000;
const defaultClockToleranceMs = 5000;

/** Applies the preset and the defaults to an issuer's settings. */
export function issuerRules(options: IssuerOptions): IssuerRules {
  const preset = options.preset === undefined ? undefined : presets[options.preset];
  return Object.freeze({
    issuer: options.issuer,
    audiences: options.audiences,
    algorithms: options.algorithms ?? defaultAlgorithms,
    types: (options.types ?? preset?.types ?? [accessTokenType]).map(normalizedType),
    sessionClaim: options.sessionClaim ?? preset?.sessionClaim ?? grantIdClaim,
    sessionExempt: options.sessionExempt ?? preset?.sessionExempt,
    clientClaims: preset?.clientClaims ?? defaultClientClaims,
    maxTokenLifetimeSeconds: (options.maxTokenLifetimeMs ?? defaultMaxTokenLifetimeMs) / 1000,
    clockToleranceSeconds: (options.clockToleranceMs ?? defaultClockToleranceMs) / 1000,
    revocable: options.revocation !== 'none',
  });
}

// RFC 7515 §4.1.9: `application/` may be left out; RFC 2045 §5.1: media types are case-insensitive.
export function normalizedType(type: string): string {
  const lower = type.toLowerCase();
  return lower.startsWith('application/') ? lower.slice('application/'.length) : lower;
}
