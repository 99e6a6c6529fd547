import type { EpochSeconds } from '../runtime/clock.ts';

/** What a revocation can name; see `docs/revocation.md`. */
export const revocationKinds = ['session', 'token', 'subject', 'client', 'issuer', 'key'] as const;
export type RevocationKind = (typeof revocationKinds)[number];

/** Version of the events, of the log's messages and of its head. */
export const formatVersion = 1;

/** One revocation, as writers commit it and the log carries it. */
export type RevocationEvent = {
  readonly iss: string;
  readonly kind: RevocationKind;
  /** What is revoked; for `issuer` the issuer itself. */
  readonly id: string;
  /** Cut-off, in the issuer's clock, fractions allowed. */
  readonly at: EpochSeconds;
  /** Why, for logs; at most 64 characters of `a-z 0-9 _ -`. */
  readonly reason?: string;
};
