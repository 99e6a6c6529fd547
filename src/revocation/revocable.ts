import type { EpochSeconds } from '../runtime/clock.ts';
import type { Notable } from '../runtime/memo-slots.ts';
import type { RevocationKind } from '../revocation-log/event.ts';

/** What of a token can be revoked. An access token is one; this room knows no more of tokens. */
export type Revocable = Notable & {
  readonly issuer: string;
  readonly subject: string;
  readonly session: string | undefined;
  readonly tokenId: string | undefined;
  /** The client, under each claim that names one. */
  readonly clientIds: readonly string[];
  /** Every name of the key that signed it: its RFC 7638 thumbprint, and each `kid` it is known to have had. */
  readonly keyNames: readonly string[];
  readonly issuedAt: EpochSeconds;
  readonly expiresAt: EpochSeconds;
};

/** The limits a token is judged by. */
export type RevocationLimits = {
  /** Longest time a revoked token may still pass, whatever fails; ms. */
  readonly maxExposureMs: number;
  /** How far the issuer's clock may be ahead; seconds. */
  readonly clockToleranceSeconds: number;
};

export type RevocationFinding =
  | { readonly kind: 'clear' }
  | { readonly kind: 'revoked'; readonly by: RevocationKind | 'floor'; readonly reason: string | undefined }
  /** A revocation could be on its way: the token is older, and the view staler, than `maxExposure`. */
  | { readonly kind: 'unproven' }
  /** The token outlives what the log remembers. */
  | { readonly kind: 'outlives_log' };

/** What is revoked now, and how sure that is. Synchronous and free of I/O. */
export type Revocations = {
  evaluate(token: Revocable, limits: RevocationLimits, nowMs: number): RevocationFinding;
};
