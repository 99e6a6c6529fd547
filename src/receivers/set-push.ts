import type { Algorithm } from '../vocabulary/algorithms.ts';
import type { KeySet } from '../token/key-set.ts';
import { checkNotice } from './jwt-claims.ts';
import {
  emptyAnswer,
  describeRefusal,
  jsonAnswer,
  refusals,
  type Answer,
  type Receiver,
  type DeliveryRefusal,
  type Refused,
} from './receiver.ts';
import { readSetEvents } from './set-events.ts';
import { createSignedJwtReader } from './signed-jwt.ts';

export type SetPushOptions = {
  readonly path: string;
  /** The issuer whose tokens are revoked. */
  readonly issuer: string;
  /** `iss` of the SETs, which may differ from `issuer`. */
  readonly sender: string;
  readonly audiences: readonly string[];
  readonly algorithms: readonly Algorithm[];
  readonly keySet: KeySet;
  readonly maxAgeMs: number;
  readonly clockToleranceMs: number;
  readonly credentialChange: boolean;
  readonly trustSessionIds: boolean;
};

const maxBodyBytes = 64 * 1024;

/**
 * Security Event Tokens (RFC 8417) pushed over HTTP (RFC 8935), with the events of CAEP and RISC that end
 * sessions.
 */
export function createSetPush(options: SetPushOptions): Receiver {
  const { issuer, sender, keySet } = options;
  const read = createSignedJwtReader({
    ...options,
    issuer: sender,
    // RFC 8417 §2.3. Other types are refused: an ID token or access token with the same keys is not an event.
    types: ['secevent+jwt'],
    maxLength: maxBodyBytes,
  });
  const eventRules = { ...options, issuers: sender === issuer ? [issuer] : [sender, issuer] };

  return {
    kind: 'set-push',
    path: options.path,
    issuers: [issuer],
    mediaType: 'application/secevent+jwt',
    maxBodyBytes,
    accepted: emptyAnswer(202),
    refused: setError,
    evaluate: async ({ body, allowance }, nowMs) => {
      const jwt = await read(body.toString('latin1').trim(), allowance);
      if (jwt.kind === 'refused') return jwt;
      const notice = checkNotice(jwt.claims, { ...options, needsExpiry: false }, nowMs);
      if (notice.kind === 'refused') return notice;
      const events = readSetEvents(jwt.claims, notice, eventRules);
      if (events.kind === 'refused') return events;
      const { requests, names } = events;
      if (requests.length === 0) return { kind: 'ignored', event: names };
      const { id: deliveryId, duplicatesUntilMs } = notice;
      return { kind: 'accepted', deliveryId, duplicatesUntilMs, requests };
    },
    isUsable: () => keySet.isUsable(),
    state: () => keySet.state(),
    start: () => keySet.start(),
    stop: () => keySet.stop(),
  };
}

/** RFC 8935 §2.4. */
const errorCodes: Partial<Record<DeliveryRefusal, string>> = {
  unauthenticated: 'authentication_failed',
  unknown_key: 'invalid_key',
  bad_signature: 'invalid_key',
  algorithm_not_allowed: 'invalid_key',
  keys_unavailable: 'invalid_key',
  wrong_issuer: 'invalid_issuer',
  wrong_audience: 'invalid_audience',
};

/** RFC 8935 §2.3. */
function setError(refused: Refused): Answer {
  const { status } = refusals[refused.reason];
  const err = errorCodes[refused.reason] ?? 'invalid_request';
  const answer = jsonAnswer(status, { err, description: describeRefusal(refused) });
  return { ...answer, headers: { ...answer.headers, 'content-language': 'en' } };
}
