import { createHash } from 'node:crypto';
import type { Algorithm } from '../vocabulary/algorithms.ts';
import { isId } from '../token/claims.ts';
import type { KeySet } from '../token/key-set.ts';
import { numberOf } from '../token/strict-json.ts';
import { isObject } from '../revocation-log/event.ts';
import type { RevocationRequest } from '../publisher/outbox.ts';
import { parseJsonBody } from './json-body.ts';
import { checkDate, duplicatesUntilMs } from './jwt-claims.ts';
import { latestCutOff } from '../revocation-log/cut-off-limit.ts';
import {
  emptyAnswer,
  describeRefusal,
  jsonAnswer,
  refusals,
  refuseDelivery,
  type Delivery,
  type Evaluation,
  type Receiver,
  type Refused,
} from './receiver.ts';
import { isSessionId } from './set-subject.ts';
import { createSignedJwtReader, shown, type ReadSignedJwt } from './signed-jwt.ts';

export type FusionAuthOptions = {
  readonly path: string;
  readonly issuer: string;
  /** Only events of this tenant are applied. Undefined: events of every tenant that the key signs for. */
  readonly tenant: string | undefined;
  readonly algorithms: readonly Algorithm[];
  readonly keySet: KeySet;
  readonly maxAgeMs: number;
  readonly clockToleranceMs: number;
};

type Event = Readonly<Record<string, unknown>>;

const signatureHeader = 'x-fusionauth-signature-jwt';
const maxBodyBytes = 256 * 1024;
const maxTokenLength = 8192;

/**
 * FusionAuth's webhook events that end sessions, `jwt.refresh-token.revoke` above all, signed as FusionAuth
 * signs them since 1.48: a JWT in a header, with the hash of the body.
 */
export function createFusionAuth(options: FusionAuthOptions): Receiver {
  const { issuer, keySet } = options;
  // The signature's JWT has neither an issuer nor a date. The key identifies the issuer, and the event has
  // the date.
  const types = ['JWT', 'none'];
  const read = createSignedJwtReader({ ...options, issuer: undefined, types, maxLength: maxTokenLength });

  return {
    kind: 'fusionauth',
    path: options.path,
    issuers: [issuer],
    mediaType: 'application/json',
    maxBodyBytes,
    accepted: emptyAnswer(200),
    refused: (refused) =>
      jsonAnswer(refusals[refused.reason].status, {
        error: refused.reason,
        description: describeRefusal(refused),
      }),
    evaluate: async (delivery, nowMs) => {
      const signed = await readEvent(delivery, read);
      return signed.kind === 'refused' ? signed : evaluateEvent(signed.event, options, nowMs);
    },
    isUsable: () => keySet.isUsable(),
    state: () => keySet.state(),
    start: () => keySet.start(),
    stop: () => keySet.stop(),
  };
}

async function readEvent(
  { body, header, allowance }: Delivery,
  read: ReadSignedJwt,
): Promise<{ readonly kind: 'event'; readonly event: Event } | Refused> {
  const signature = header(signatureHeader);
  if (signature === undefined)
    return refuseDelivery('bad_signature', { expected: signatureHeader, found: 'absent' });
  const jwt = await read(signature, allowance);
  if (jwt.kind === 'refused') return jwt;
  if (jwt.claims['request_body_sha256'] !== createHash('sha256').update(body).digest('base64'))
    return refuseDelivery('bad_signature', {
      claim: 'request_body_sha256',
      expected: 'the hash of the body',
    });
  const json = parseJsonBody(body);
  if (json.kind === 'invalid') return refuseDelivery('malformed', { expected: 'JSON', found: json.problem });
  const { event } = json.value;
  if (!isObject(event) || typeof event['type'] !== 'string')
    return refuseDelivery('malformed', { claim: 'event.type', expected: 'a text' });
  return { kind: 'event', event };
}

function evaluateEvent(event: Event, options: FusionAuthOptions, nowMs: number): Evaluation {
  const { id, type } = event;
  const createInstant = numberOf(event['createInstant']);
  const revoked = revokedBy(event);
  if (revoked === undefined) return { kind: 'ignored', event: shown(type).slice(0, 64) };
  const { tenantId } = event;
  if (options.tenant !== undefined) {
    // Without a tenant, it is unknown whose sessions the event ends, so it can be neither applied nor
    // acknowledged.
    if (typeof tenantId !== 'string')
      return refuseDelivery('unknown_subject', {
        claim: 'event.tenantId',
        expected: 'a text',
        found: shown(tenantId),
      });
    // One webhook gets the events of all tenants. Refusing an event of another tenant would make its
    // transaction fail.
    if (tenantId.toLowerCase() !== options.tenant.toLowerCase())
      return { kind: 'ignored', event: 'of another tenant' };
  }
  if (!isId(id))
    return refuseDelivery('malformed', { claim: 'event.id', expected: 'a text', found: shown(id) });
  if (createInstant === undefined)
    return refuseDelivery('malformed', { claim: 'event.createInstant', expected: 'ms since 1970' });
  const at = createInstant / 1000;
  const misdated = checkDate('event.createInstant', at, options, nowMs);
  if (misdated !== undefined) return misdated;
  if (revoked === 'no_subject')
    return refuseDelivery('unknown_subject', { claim: 'event', expected: 'a user or application' });
  const cutOff = Math.min(at, latestCutOff(nowMs, options.clockToleranceMs));
  return {
    kind: 'accepted',
    deliveryId: id,
    duplicatesUntilMs: duplicatesUntilMs(at, options),
    requests: [{ iss: options.issuer, at: cutOff, ...revoked }],
  };
}

type Revoked = Pick<RevocationRequest, 'kind' | 'id' | 'reason'>;

/** @returns undefined for an event that ends no session */
function revokedBy(event: Event): Revoked | 'no_subject' | undefined {
  switch (event['type']) {
    case 'jwt.refresh-token.revoke':
      return revokedRefreshTokens(event);
    case 'user.deactivate':
    case 'user.delete': {
      const id = isObject(event['user']) ? event['user']['id'] : undefined;
      return isId(id) ? { kind: 'subject', id, reason: 'account-disabled' } : 'no_subject';
    }
    default:
      return undefined;
  }
}

function revokedRefreshTokens(event: Event): Revoked | 'no_subject' {
  const { applicationId } = event;
  const reason = 'refresh-token-revoked';
  const refreshToken = isObject(event['refreshToken']) ? event['refreshToken'] : {};
  const user = isObject(event['user']) ? event['user'] : {};
  // One refresh token. Its id survives rotation, and its access tokens have the id in the claim `sid`.
  const sid = refreshToken['id'];
  if (isSessionId(sid)) return { kind: 'session', id: sid, reason };
  // All tokens of a user, or the user's tokens in one application. The user's other sessions only have to
  // refresh.
  const userId = [event['userId'], user['id'], refreshToken['userId']].find(isId);
  if (userId !== undefined) return { kind: 'subject', id: userId, reason };
  // A whole application. Tokens have its id in claims that a `client` revocation doesn't compare.
  return isId(applicationId) ? { kind: 'issuer', reason } : 'no_subject';
}
