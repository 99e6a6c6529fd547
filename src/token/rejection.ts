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
 * The rule that said no, for the operator. Goes to logs and to `token inspect`, never to a client, so that an
 * attacker learns nothing. Values are bounded and hold no credential.
 */
export type RejectionDetail = {
  /** The header parameter or claim that was judged. */
  claim?: string;
  expected?: string;
  found?: string;
};

export type Rejected = {
  readonly kind: 'rejected';
  readonly reason: TokenRejection;
  readonly detail?: RejectionDetail;
};
