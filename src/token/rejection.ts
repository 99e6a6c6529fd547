/** Why a token is not good: the closed list. An expected refusal is one of these values, never a thrown error. */
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
 * The rule that said no, for the operator. It goes to logs and to `token inspect`, never to a client, so that an
 * attacker learns nothing; the sender of a notice is told `claim` alone. Values are bounded and hold no credential.
 */
export type RejectionDetail = {
  /** The header parameter or claim that was judged. */
  readonly claim?: string;
  readonly expected?: string;
  readonly found?: string;
};

/** Where a rejected token says it comes from: a configured issuer and a bounded `kid`, neither of them proven. */
export type Origin = { readonly issuer: string; readonly keyId: string | undefined };

export type Rejected = {
  readonly kind: 'rejected';
  readonly reason: TokenRejection;
  readonly detail: RejectionDetail | undefined;
  /** Undefined until an issuer was recognised. */
  readonly origin: Origin | undefined;
};

const maxDetailLength = 256;

/** The only builder of a rejection; bounds what the token's author can write into a log. */
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
