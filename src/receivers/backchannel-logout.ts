import type { EpochSeconds } from '../runtime/clock.ts';
import type { Algorithm } from '../vocabulary/algorithms.ts';
import { isId } from '../token/claims.ts';
import type { KeySet } from '../token/key-set.ts';
import type { JsonObject } from '../token/strict-json.ts';
import { isObject } from '../revocation-log/event.ts';
import type { RevocationRequest } from '../publisher/outbox.ts';
import { checkNotice } from './jwt-claims.ts';
import {
  emptyAnswer,
  describeRefusal,
  jsonAnswer,
  refusals,
  refuseDelivery,
  type Receiver,
  type Refused,
} from './receiver.ts';
import { isSessionId } from './set-subject.ts';
import { createSignedJwtReader } from './signed-jwt.ts';

export type BackchannelLogoutOptions = {
  readonly path: string;
  readonly issuer: string;
  /** The client ids that logout tokens may be for. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly Algorithm[];
  readonly keySet: KeySet;
  readonly maxAgeMs: number;
  readonly clockToleranceMs: number;
  /** §2.4 requires `exp`, but some providers leave it out. Then only `iat` limits the token's age. */
  readonly needsExpiry: boolean;
  /** Whether the issuer's access tokens hold `sid`. Otherwise only the subject can be revoked. */
  readonly tokensHoldSid: boolean;
};

const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout';
const maxBodyBytes = 32 * 1024;
const maxTokenLength = 16 * 1024;

/**
 * OpenID Connect Back-Channel Logout 1.0: `sid` ends one session, and `sub` alone ends all sessions of the
 * subject.
 */
export function createBackchannelLogout(options: BackchannelLogoutOptions): Receiver {
  const { issuer, keySet } = options;
  // §2.4 only recommends logout+jwt. The claim `events` identifies a logout token.
  const types = ['logout+jwt', 'JWT', 'none'];
  const read = createSignedJwtReader({ ...options, types, maxLength: maxTokenLength });

  return {
    kind: 'backchannel-logout',
    path: options.path,
    issuers: [issuer],
    mediaType: 'application/x-www-form-urlencoded',
    maxBodyBytes,
    // §2.8
    accepted: emptyAnswer(200),
    refused: (refused) =>
      jsonAnswer(refusals[refused.reason].status, {
        error: 'invalid_request',
        error_description: describeRefusal(refused),
      }),
    evaluate: async ({ body, allowance }, nowMs) => {
      const tokens = new URLSearchParams(body.toString('latin1')).getAll('logout_token');
      const [token] = tokens;
      if (token === undefined || tokens.length > 1)
        return refuseDelivery('malformed', { expected: 'one logout_token', found: `${tokens.length}` });
      const jwt = await read(token, allowance);
      if (jwt.kind === 'refused') return jwt;
      const notice = checkNotice(jwt.claims, options, nowMs);
      if (notice.kind === 'refused') return notice;
      const request = requestOf(jwt.claims, notice.issuedAt, options);
      if (request.kind === 'refused') return request;
      const { id: deliveryId, duplicatesUntilMs } = notice;
      return { kind: 'accepted', deliveryId, duplicatesUntilMs, requests: [request] };
    },
    isUsable: () => keySet.isUsable(),
    state: () => keySet.state(),
    start: () => keySet.start(),
    stop: () => keySet.stop(),
  };
}

/** Checks steps 5 to 7 of §2.6, and reads what the token revokes. */
function requestOf(
  claims: JsonObject,
  at: EpochSeconds,
  { issuer, tokensHoldSid }: BackchannelLogoutOptions,
): RevocationRequest | Refused {
  const { events, nonce, sid, sub } = claims;
  if (!isObject(events) || !isObject(events[logoutEvent]))
    return refuseDelivery('wrong_type', { claim: 'events', expected: logoutEvent });
  // An ID token has a nonce, and must not be accepted as a logout token.
  if (nonce !== undefined)
    return refuseDelivery('wrong_type', { claim: 'nonce', expected: 'absent', found: 'present' });
  if ((sid !== undefined && !isId(sid)) || (sub !== undefined && !isId(sub)))
    return refuseDelivery('malformed', { claim: 'sid', expected: 'sid and sub of 1 to 256 characters' });
  if (isSessionId(sid) && tokensHoldSid)
    return { iss: issuer, kind: 'session', id: sid, at, reason: 'logout' };
  if (sub !== undefined) return { iss: issuer, kind: 'subject', id: sub, at, reason: 'logout' };
  return refuseDelivery('unknown_subject', { claim: 'sub', expected: tokensHoldSid ? 'sid or sub' : 'sub' });
}
