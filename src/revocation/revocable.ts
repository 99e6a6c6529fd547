import type { EpochSeconds } from '../runtime/clock.ts';
import type { RevocationKind } from '../revocation-log/event.ts';

/**
 * The parts of a token that revocations can name. An access token has them; `revocation` needs no other part
 * of it.
 */
export type Revocable = {
  readonly issuer: string;
  readonly subject: string;
  readonly session: string | undefined;
  readonly tokenId: string | undefined;
  /** The client ids, one for each claim that names a client. */
  readonly clientIds: readonly string[];
  /**
   * Every name of the key that signed the token: its RFC 7638 thumbprint, and each `kid` that it is known by.
   */
  readonly keyNames: readonly string[];
  readonly issuedAt: EpochSeconds;
  readonly expiresAt: EpochSeconds;
  /**
   * Written by `RevocationList.find` alone: the list's version when it last found nothing that revokes the
   * token. An object, so that no version of another list is equal.
   */
  clearAt?: object | undefined;
};

/** The limits by which a token is evaluated. */
export type RevocationLimits = {
  /** Longest time for which a revoked token may still pass, whatever fails; ms. */
  readonly maxExposureMs: number;
  /** How far the issuer's clock may be ahead; seconds. */
  readonly clockToleranceSeconds: number;
};

export type RevocationFinding =
  | { readonly kind: 'clear' }
  | { readonly kind: 'revoked'; readonly by: RevocationKind | 'floor'; readonly reason: string | undefined }
  /**
   * The view may lack a revocation: the age of the token and the staleness of the view both exceed
   * `maxExposure`.
   */
  | { readonly kind: 'unproven' }
  /** The token's lifetime exceeds the time for which the log keeps revocations. */
  | { readonly kind: 'outlives_log' };

/** Evaluates tokens against the revocations that are known now. Synchronous, without I/O. */
export type Revocations = {
  evaluate(token: Revocable, limits: RevocationLimits, nowMs: number): RevocationFinding;
};
