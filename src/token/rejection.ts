/** Every reason to reject a token. A rejection is one of these values, never a thrown error. */
export const tokenRejections = [
  'malformed_token',
  'unknown_issuer',
  'algorithm_not_allowed',
  'unknown_key',
  'bad_signature',
  'wrong_type',
  'missing_claim',
  'expired',
  'not_yet_valid',
  'lifetime_too_long',
  'wrong_audience',
  'keys_unavailable',
  'overloaded',
] as const;

export type TokenRejection = (typeof tokenRejections)[number];

/**
 * The rule that failed, for the operator. It goes to logs and to `token inspect`, never to a client, so that
 * an attacker learns nothing; the sender of a notice receives `claim` alone. Values are bounded and hold no
 * credential.
 */
export type RejectionDetail = {
  /** The header parameter or claim that was checked. */
  readonly claim?: string;
  readonly expected?: string;
  readonly found?: string;
};

/**
 * The issuer and the key that a rejected token names: a configured issuer and a bounded `kid`, neither
 * verified.
 */
export type Origin = { readonly issuer: string; readonly keyId: string | undefined };

export type Rejected = {
  readonly kind: 'rejected';
  readonly reason: TokenRejection;
  readonly detail: RejectionDetail | undefined;
  /** Undefined if the token names no configured issuer. */
  readonly origin: Origin | undefined;
};

const maxDetailLength = 256;

/** Builds every rejection, and bounds what the author of a token can write into a log. */
export function reject(reason: TokenRejection, detail?: RejectionDetail, origin?: Origin): Rejected {
  return { kind: 'rejected', reason, detail: detail === undefined ? undefined : bounded(detail), origin };
}

function bounded({ claim, expected, found }: RejectionDetail): RejectionDetail {
  return {
    ...(claim === undefined ? {} : { claim: clip(claim) }),
    ...(expected === undefined ? {} : { expected: clip(expected) }),
    ...(found === undefined ? {} : { found: clip(found) }),
  };
}

const clip = (text: string): string =>
  text.length <= maxDetailLength ? text : `${text.slice(0, maxDetailLength)}… (${text.length} characters)`;
