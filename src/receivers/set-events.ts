import type { EpochSeconds } from '../runtime/clock.ts';
import type { JsonObject } from '../token/strict-json.ts';
import { isObject } from '../revocation-log/event.ts';
import type { RevocationRequest } from '../publisher/outbox.ts';
import { refuseDelivery, type Refused } from './receiver.ts';
import { eventTimeOf, type NoticeTimes } from './jwt-claims.ts';
import { readSubject, type ReadSubject, type SubjectRules, type SubjectScope } from './set-subject.ts';

export type SetEventRules = SubjectRules & {
  /** Whose tokens are revoked. */
  readonly issuer: string;
  /** Also revoke when a credential was changed, not only when it was compromised. */
  readonly credentialChange: boolean;
};

type EventType = {
  readonly reason: string;
  readonly scope: SubjectScope;
  /**
   * `event`: the sender ended the sessions when it happened, so later tokens are of later logins. `notice`: it doesn't
   * say that it ended any, so they may have been refreshed until now, also by a thief.
   */
  readonly cutOff: 'event' | 'notice';
};

const caep = 'https://schemas.openid.net/secevent/caep/event-type/';
const risc = 'https://schemas.openid.net/secevent/risc/event-type/';
const credentialChange = `${caep}credential-change`;

/** Events that end sessions. All others are acknowledged and change nothing. */
const eventTypes: ReadonlyMap<string, EventType> = new Map([
  [`${caep}session-revoked`, { reason: 'session-revoked', scope: 'session', cutOff: 'event' }],
  [credentialChange, { reason: 'credential-change', scope: 'account', cutOff: 'notice' }],
  [`${risc}account-disabled`, { reason: 'account-disabled', scope: 'account', cutOff: 'notice' }],
  [`${risc}account-purged`, { reason: 'account-purged', scope: 'account', cutOff: 'notice' }],
  [`${risc}credential-compromise`, { reason: 'credential-compromise', scope: 'account', cutOff: 'notice' }],
  [`${risc}sessions-revoked`, { reason: 'sessions-revoked', scope: 'account', cutOff: 'event' }],
]);

const maxEvents = 16;

export type SetEvents =
  | { readonly kind: 'events'; readonly requests: readonly RevocationRequest[]; readonly names: string }
  | Refused;

/**
 * Reads the events of a verified SET (RFC 8417 §2.2). All its events are about one occurrence: one that can't be
 * carried out refuses them all.
 */
export function readSetEvents(claims: JsonObject, times: NoticeTimes, rules: SetEventRules): SetEvents {
  const { events } = claims;
  if (!isObject(events)) return refuseDelivery('malformed', { claim: 'events', expected: 'a JSON object' });
  const entries = Object.entries(events);
  if (entries.length === 0 || entries.length > maxEvents)
    return refuseDelivery('malformed', {
      claim: 'events',
      expected: `1 to ${maxEvents}`,
      found: `${entries.length}`,
    });
  const requests = new Map<string, RevocationRequest>();
  for (const [uri, payload] of entries) {
    if (!isObject(payload)) return refuseDelivery('malformed', { claim: 'events', expected: 'JSON objects' });
    const type = eventTypes.get(uri);
    if (type === undefined || !concerns(uri, payload, rules)) continue;
    const subject = subjectOf(payload, claims, type.scope, rules);
    if (subject.kind === 'unnamed') return refuseDelivery('unknown_subject', subject.detail);
    const at = cutOffOf(type, payload, claims, times);
    for (const { kind, id } of subject.parts)
      requests.set(`${kind} ${id}`, { iss: rules.issuer, kind, id, at, reason: type.reason });
  }
  return {
    kind: 'events',
    requests: [...requests.values()],
    names: entries.map(([uri]) => nameOf(uri)).join(' '),
  };
}

function concerns(uri: string, payload: Readonly<Record<string, unknown>>, rules: SetEventRules): boolean {
  if (uri !== credentialChange) return true;
  // A credential more, such as a second passkey, gives nobody away.
  return rules.credentialChange && payload['change_type'] !== 'create';
}

/**
 * Reads the subject from where it stands. In drafts that was the event; now it is `sub_id`, and the event may repeat it
 * (Shared Signals Framework §3.1). All places name the same subject, so the first that can be read is enough.
 */
function subjectOf(
  { subject }: Readonly<Record<string, unknown>>,
  claims: JsonObject,
  scope: SubjectScope,
  rules: SetEventRules,
): ReadSubject {
  const { iss, sub, sub_id: subjectId } = claims;
  // RFC 8417 §2.2: `sub` is in the namespace of `iss`.
  const places: readonly (readonly [string, unknown])[] = [
    ['subject', subject ?? undefined],
    ['sub_id', subjectId ?? undefined],
    ['sub', sub === undefined ? undefined : { format: 'iss_sub', iss, sub }],
  ];
  const read = places
    .filter(([, value]) => value !== undefined)
    .map(([claim, value]) => readSubject(value, scope, rules, claim));
  const named = read.find(({ kind }) => kind === 'named');
  return named ?? read[0] ?? readSubject(undefined, scope, rules, 'sub_id');
}

/** Up to when tokens are revoked, in the sender's clock. A time in another unit than seconds is left out of account. */
function cutOffOf(
  { cutOff }: EventType,
  { event_timestamp: timestamp }: Readonly<Record<string, unknown>>,
  { toe }: JsonObject,
  { issuedAt, latest }: NoticeTimes,
): EpochSeconds {
  const happened = eventTimeOf(timestamp) ?? eventTimeOf(toe) ?? issuedAt;
  return Math.min(cutOff === 'event' ? happened : Math.max(happened, issuedAt), latest);
}

const maxNameLength = 64;

/** For the log: an event type by its last segment. */
const nameOf = (uri: string): string => uri.slice(uri.lastIndexOf('/') + 1).slice(0, maxNameLength);
