import type { RevocationRequest } from '../publisher/outbox.ts';
import type { RejectionDetail } from '../token/rejection.ts';
import type { Allowance } from './delivery-limits.ts';

export const receiverKinds = ['set-push', 'backchannel-logout', 'fusionauth', 'webhook'] as const;
export type ReceiverKind = (typeof receiverKinds)[number];

/** One request to a receiver, after its whole body was read. */
export type Delivery = {
  readonly body: Buffer;
  /** A request header by its name in lower case. */
  header(name: string): string | undefined;
  /** The resources that it may use before it is known to be authentic. */
  readonly allowance: Allowance;
};

type Rule = {
  readonly status: number;
  /** The text for the sender: the rule, but never a configured value. */
  readonly description: string;
  /**
   * Anyone can cause this refusal, without a valid signature. Log lines about it have a limit of their own.
   */
  readonly isBeforeSignature: boolean;
};

const beforeSignature = (status: number, description: string): Rule => ({
  status,
  description,
  isBeforeSignature: true,
});
const afterSignature = (status: number, description: string): Rule => ({
  status,
  description,
  isBeforeSignature: false,
});

/** Why a delivery is refused. */
export const refusals = {
  malformed: beforeSignature(400, 'the request does not have the form that this endpoint accepts'),
  too_large: beforeSignature(413, 'the request is too large'),
  too_slow: beforeSignature(408, 'the request took too long to arrive'),
  overloaded: beforeSignature(503, 'too many requests at the moment'),
  unauthenticated: beforeSignature(401, 'the Authorization header does not have the configured value'),
  algorithm_not_allowed: beforeSignature(400, 'the signature algorithm is not accepted'),
  wrong_type: beforeSignature(400, 'the token has the wrong type'),
  wrong_issuer: beforeSignature(400, 'the issuer is wrong'),
  unknown_key: beforeSignature(400, 'the signing key is unknown'),
  bad_signature: beforeSignature(400, 'the signature is invalid'),
  keys_unavailable: beforeSignature(503, 'the signing keys are not available now'),
  // These refusals follow a valid signature.
  wrong_audience: afterSignature(400, 'the audience is wrong'),
  expired: afterSignature(400, 'the token has expired'),
  too_old: afterSignature(400, 'the delivery is too old'),
  not_yet_valid: afterSignature(400, 'the date of the delivery is in the future'),
  unknown_subject: afterSignature(400, 'the subject names nothing that can be revoked'),
  too_many_keys: afterSignature(400, 'the issuer has too many revoked keys'),
} as const satisfies Record<string, Rule>;

export type DeliveryRefusal = keyof typeof refusals;

export type Refused = {
  readonly kind: 'refused';
  readonly reason: DeliveryRefusal;
  /** For the log. Its values are bounded and hold no credentials. */
  readonly detail: RejectionDetail | undefined;
};

export const refuseDelivery = (reason: DeliveryRefusal, detail?: RejectionDetail): Refused => ({
  kind: 'refused',
  reason,
  detail,
});

/** The text for the sender: the rule, and the claim or member that violates it. Only the log shows values. */
export function describeRefusal({ reason, detail }: Refused): string {
  const { description } = refusals[reason];
  const isAboutClaim = reason === 'malformed' || reason === 'unknown_subject';
  return isAboutClaim && detail?.claim !== undefined ? `${description}: ${detail.claim}` : description;
}

/** An authentic delivery with revocations to record. */
export type Accepted = {
  readonly kind: 'accepted';
  /** The sender's id of the delivery. A retry has the same id. */
  readonly deliveryId: string;
  /**
   * Until then the id is kept to detect duplicates; ms since 1970. Later, the delivery is too old to be
   * accepted.
   */
  readonly duplicatesUntilMs: number;
  /** At least one. */
  readonly requests: readonly RevocationRequest[];
};

/** An authentic delivery that revokes nothing. */
export type Ignored = { readonly kind: 'ignored'; readonly event: string };

export type Evaluation = Accepted | Ignored | Refused;

export type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
};

/** Evaluates the notices of one sender. Others record the revocations and speak HTTP. */
export type Receiver = {
  readonly kind: ReceiverKind;
  readonly path: string;
  /** The issuers whose tokens it may revoke. */
  readonly issuers: readonly string[];
  readonly mediaType: string;
  readonly maxBodyBytes: number;
  /** The answer when everything is committed, and for duplicates. */
  readonly accepted: Answer;
  refused(refused: Refused): Answer;
  /**
   * Verifies a delivery and reads what it revokes. Cost: at most one signature and one wait for newer keys.
   */
  evaluate(delivery: Delivery, nowMs: number): Evaluation | Promise<Evaluation>;
  /** False while it can't verify anything. */
  isUsable(): boolean;
  /** For `/status` and `/readyz`. */
  state(): unknown;
  start(): Promise<void> | void;
  stop(): void;
};

/** A JSON answer that must not be cached. */
export const jsonAnswer = (status: number, body: unknown): Answer => ({
  status,
  headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
  body: `${JSON.stringify(body)}\n`,
});

/** An answer without a body. */
export const emptyAnswer = (status: number): Answer => ({ status, headers: { 'cache-control': 'no-store' } });

/** The log fields that name a receiver. */
export const receiverFields = ({ kind, path }: Pick<Receiver, 'kind' | 'path'>) => ({
  part: kind,
  route: path,
});
