import type { EpochSeconds } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Secret } from '../runtime/secret.ts';
import {
  isRevocableId,
  isObject,
  isReason,
  revocationKinds,
  type RevocationKind,
} from '../revocation-log/event.ts';
import type { RevocationRequest } from '../publisher/outbox.ts';
import { parseJsonBody } from './json-body.ts';
import { eventTimeOf } from './jwt-claims.ts';
import { latestCutOff } from '../revocation-log/cut-off-limit.ts';
import {
  emptyAnswer,
  describeRefusal,
  jsonAnswer,
  refusals,
  refuseDelivery,
  type Evaluation,
  type Receiver,
  type Refused,
} from './receiver.ts';
import { isSessionId } from './set-subject.ts';
import { shown } from './signed-jwt.ts';
import { watchSecrets } from './watched-secrets.ts';
import { verifyWebhook, webhookKey } from './webhook-signature.ts';

export type StandardWebhookOptions = {
  readonly path: string;
  /** The issuers whose tokens it may revoke. An event needs `iss` if there is more than one. */
  readonly issuers: readonly string[];
  /** The kinds of revocations that it may make. */
  readonly kinds: readonly RevocationKind[];
  /** One secret, or two during a rotation. */
  readonly secrets: readonly Secret[];
  /** How long the sender retries a delivery; ms. */
  readonly redeliveryMs: number;
  /** How far the issuers' clocks may be off; ms. */
  readonly clockToleranceMs: number;
  readonly log: Log;
};

/** Largest difference between `webhook-timestamp` and this machine's clock; ms. */
const toleranceMs = 5 * 60_000;
const maxBodyBytes = 256 * 1024;
const maxEvents = 500;

/**
 * A signed webhook for any caller (Standard Webhooks 1.0): `{ "events": [{ iss?, kind, id, at?, reason? }]
 * }`.
 */
export function createStandardWebhook(options: StandardWebhookOptions): Receiver {
  const { path, redeliveryMs } = options;
  const keys = watchSecrets({ ...options, read: webhookKey });

  return {
    kind: 'webhook',
    path,
    issuers: options.issuers,
    mediaType: 'application/json',
    maxBodyBytes,
    accepted: emptyAnswer(204),
    refused: (refused) =>
      jsonAnswer(refusals[refused.reason].status, {
        error: refused.reason,
        description: describeRefusal(refused),
      }),
    evaluate: (delivery, nowMs) => {
      const envelope = verifyWebhook(delivery, keys.current, { toleranceMs }, nowMs);
      if (envelope.kind === 'refused') return envelope;
      // A retry has a new timestamp, so the id is kept for as long as the sender may retry.
      const duplicatesUntilMs = nowMs + redeliveryMs + 2 * toleranceMs;
      const latest = latestCutOff(nowMs, options.clockToleranceMs);
      return readEvents(
        delivery.body,
        { ...options, latest },
        { deliveryId: envelope.id, duplicatesUntilMs },
      );
    },
    isUsable: () => keys.current.length > 0,
    state: () => ({ secrets: keys.current.length }),
    start: keys.start,
    stop: keys.stop,
  };
}

type EventRules = Pick<StandardWebhookOptions, 'issuers' | 'kinds'> & {
  /** The latest that a cut-off may be. */
  readonly latest: EpochSeconds;
};

function readEvents(
  body: Buffer,
  rules: EventRules,
  delivery: { readonly deliveryId: string; readonly duplicatesUntilMs: number },
): Evaluation {
  const json = parseJsonBody(body);
  if (json.kind === 'invalid') return refuseDelivery('malformed', { expected: 'JSON', found: json.problem });
  const { events } = json.value;
  if (!Array.isArray(events) || events.length === 0 || events.length > maxEvents)
    return refuseDelivery('malformed', { claim: 'events', expected: `a list of 1 to ${maxEvents}` });
  const requests: RevocationRequest[] = [];
  for (const event of events) {
    const request = readEvent(event, rules);
    if (request.kind === 'refused') return request;
    requests.push(request);
  }
  return { kind: 'accepted', ...delivery, requests };
}

const members = new Set(['iss', 'kind', 'id', 'at', 'reason']);

function readEvent(event: unknown, rules: EventRules): RevocationRequest | Refused {
  if (!isObject(event)) return refuseDelivery('malformed', { claim: 'events', expected: 'JSON objects' });
  // Unknown members are refused: a misspelt `at` would silently change what is revoked.
  const stranger = Object.keys(event).find((name) => !members.has(name));
  if (stranger !== undefined)
    return refuseDelivery('malformed', {
      claim: 'events',
      expected: [...members].join(' '),
      found: shown(stranger),
    });
  const { id, reason } = event;
  const at = eventTimeOf(event['at']);
  const iss = issuerOf(event['iss'], rules.issuers);
  if (iss === undefined)
    return refuseDelivery('wrong_issuer', { claim: 'iss', expected: rules.issuers.join(' ') });
  const kind = revocationKinds.find((known) => known === event['kind']);
  if (kind === undefined || !rules.kinds.includes(kind))
    return refuseDelivery('malformed', { claim: 'kind', expected: rules.kinds.join(' ') });
  if (kind === 'issuer' ? id !== undefined && id !== iss : !isRevocableId(id))
    return refuseDelivery('malformed', { claim: 'id', expected: 'a text of 1 to 256 characters' });
  if (kind === 'session' && !isSessionId(id))
    return refuseDelivery('unknown_subject', {
      claim: 'id',
      expected: 'the id of one session; for a user, `subject`',
    });
  if (event['at'] !== undefined && at === undefined)
    return refuseDelivery('malformed', { claim: 'at', expected: 'seconds since 1970' });
  if (reason !== undefined && !isReason(reason))
    return refuseDelivery('malformed', { claim: 'reason', expected: '1 to 64 characters of a-z 0-9 _ -' });
  return {
    iss,
    kind,
    ...(isRevocableId(id) ? { id } : {}),
    ...(at === undefined ? {} : { at: Math.min(at, rules.latest) }),
    ...(reason === undefined ? {} : { reason }),
  };
}

function issuerOf(iss: unknown, issuers: readonly string[]): string | undefined {
  if (iss === undefined) return issuers.length === 1 ? issuers[0] : undefined;
  return issuers.find((issuer) => issuer === iss);
}
