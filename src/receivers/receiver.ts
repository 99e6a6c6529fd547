import type { RevocationRequest } from '../publisher/outbox.ts';
import type { RejectionDetail } from '../token/rejection.ts';
import type { Allowance } from './delivery-limits.ts';

export const receiverKinds = ['set-push', 'backchannel-logout', 'fusionauth', 'webhook'] as const;
export type ReceiverKind = (typeof receiverKinds)[number];

/** One request to a receiver, read whole. */
export type Delivery = {
  readonly body: Buffer;
  /** A request header by its name in lower case. */
  header(name: string): string | undefined;
  /** What it may use up before it is known to be authentic. */
  readonly allowance: Allowance;
};

type Rule = {
  readonly status: number;
  /** What the sender is told: the rule, never our values. */
  readonly description: string;
  /** Anyone can cause it, without a valid signature: the log's lines about it are limited apart. */
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
  malformed: beforeSignature(400, 'the request is not of the form this endpoint takes'),
  too_large: beforeSignature(413, 'the request is too large'),
  too_slow: beforeSignature(408, 'the request took too long to arrive'),
  overloaded: beforeSignature(503, 'there are too many requests at present'),
  unauthenticated: beforeSignature(401, 'the Authorization header is not the agreed one'),
  algorithm_not_allowed: beforeSignature(400, 'the signature algorithm is not accepted'),
  wrong_type: beforeSignature(400, 'the token is of another type'),
  wrong_issuer: beforeSignature(400, 'the issuer is not the expected one'),
  unknown_key: beforeSignature(400, 'the signing key is not known'),
  bad_signature: beforeSignature(400, 'the signature does not hold'),
  keys_unavailable: beforeSignature(503, 'the signing keys cannot be had at present'),
  // The signature holds where one of these is the reason.
  wrong_audience: afterSignature(400, 'the audience is not the expected one'),
  expired: afterSignature(400, 'it has expired'),
  too_old: afterSignature(400, 'it is older than deliveries may be'),
  not_yet_valid: afterSignature(400, 'it is dated in the future'),
  unknown_subject: afterSignature(400, 'its subject names nothing that can be revoked'),
  too_many_keys: afterSignature(400, 'the issuer has too many revoked keys'),
} as const satisfies Record<string, Rule>;

export type DeliveryRefusal = keyof typeof refusals;

export type Refused = {
  readonly kind: 'refused';
  readonly reason: DeliveryRefusal;
  /** For the log: bounded, and without credentials. */
  readonly detail: RejectionDetail | undefined;
};

export const refuseDelivery = (reason: DeliveryRefusal, detail?: RejectionDetail): Refused => ({
  kind: 'refused',
  reason,
  detail,
});

/** What the sender is told: the rule, and the claim or member that broke it. Values are for the log alone. */
export function describeRefusal({ reason, detail }: Refused): string {
  const { description } = refusals[reason];
  const isAboutClaim = reason === 'malformed' || reason === 'unknown_subject';
  return isAboutClaim && detail?.claim !== undefined ? `${description}: ${detail.claim}` : description;
}

/** Revocations to record, from an authentic delivery. */
export type Accepted = {
  readonly kind: 'accepted';
  /** Names the delivery at its sender; equal for a delivery that is tried again. */
  readonly deliveryId: string;
  /** Till then its id is remembered; later it is too old anyway. */
  readonly duplicatesUntilMs: number;
  /** At least one. */
  readonly requests: readonly RevocationRequest[];
};

/** Authentic, with nothing to revoke in it. */
export type Ignored = { readonly kind: 'ignored'; readonly event: string };

export type Evaluation = Accepted | Ignored | Refused;

export type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
};

/** Understands one sender's notices. It judges; recording and HTTP are others' work. */
export type Receiver = {
  readonly kind: ReceiverKind;
  readonly path: string;
  /** Whose tokens it may revoke. */
  readonly issuers: readonly string[];
  readonly mediaType: string;
  readonly maxBodyBytes: number;
  /** The answer once everything is committed, also for a delivery that came before. */
  readonly accepted: Answer;
  refused(refused: Refused): Answer;
  /** Verifies a delivery and says what it revokes. Cost: at most one signature, and one wait for newer keys. */
  evaluate(delivery: Delivery, nowMs: number): Evaluation | Promise<Evaluation>;
  /** False while it can't verify anything. */
  isUsable(): boolean;
  /** For `/status` and `/readyz`. */
  state(): unknown;
  start(): Promise<void> | void;
  stop(): void;
};

/** An answer in JSON that nobody may keep. */
export const jsonAnswer = (status: number, body: unknown): Answer => ({
  status,
  headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
  body: `${JSON.stringify(body)}\n`,
});

/** An answer that says all by its status. */
export const emptyAnswer = (status: number): Answer => ({ status, headers: { 'cache-control': 'no-store' } });

/** A receiver as the log names it. */
export const receiverFields = ({ kind, path }: Pick<Receiver, 'kind' | 'path'>) => ({
  part: kind,
  route: path,
});
