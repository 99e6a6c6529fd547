import type { EpochSeconds } from '../runtime/clock.ts';
import type { IssuerRules } from './issuer-rules.ts';
import type { Rejected } from './rejection.ts';

/** A JWT access token whose signature and claims were verified. It may be revoked. */
export type AccessToken = {
  readonly issuer: string;
  readonly subject: string;
  /** The session the token belongs to; undefined for a client's own token and under `revocation: none`. */
  readonly session: string | undefined;
  readonly tokenId: string | undefined;
  readonly clientId: string | undefined;
  /**
   * The values of all claims that name a client, `clientId` first. A revocation of any of them revokes the
   * token.
   */
  readonly clientIds: readonly string[];
  readonly audiences: readonly string[];
  readonly scopes: readonly string[];
  readonly issuedAt: EpochSeconds;
  readonly notBefore: EpochSeconds | undefined;
  readonly expiresAt: EpochSeconds;
  /** The key's name in logs: the `kid`, else the RFC 7638 thumbprint, or a secret's configured name. */
  readonly keyId: string;
  /** Every name that a `key` revocation may use for the key; see `VerificationKey`. */
  readonly keyNames: readonly string[];
  /** The payload as received; an object without a prototype. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** Written by the revocation list alone: see `Revocable`. */
  clearAt?: object | undefined;
};

export type Verified = {
  readonly kind: 'verified';
  readonly token: AccessToken;
  /** The rules it was verified by. */
  readonly rules: IssuerRules;
  /** What src/check derived from the token (`TokenMemo`). It is evicted with the token. */
  memo: unknown;
};
export type Verification = Verified | Rejected;
