import type { EpochSeconds } from '../runtime/clock.ts';
import type { JsonObject } from '../token/strict-json.ts';
import { isObject } from '../revocation-log/event.ts';
import type { RevocationRequest } from '../publisher/outbox.ts';
import { refuseDelivery, type Refused } from './receiver.ts';
import { eventTimeOf, type NoticeTimes } from './jwt-claims.ts';
import { readSubject, type ReadSubject, type SubjectRules, type SubjectScope } from './set-subject.ts';

export type SetEventRules = SubjectRules & {
  /** The issuer whose tokens are revoked. */
  readonly issuer: string;
  /** Whether a changed credential revokes too, and not only a compromised one. */
  readonly credentialChange: boolean;
};

type EventType = {
  readonly reason: string;
  readonly scope: SubjectScope;
  /**
   * `event`: the sender ended the sessions at the time of the event, so later tokens belong to later logins.
   * `notice`: the sender doesn't say that it ended sessions, so anyone, even a thief, may have refreshed
   * tokens until the notice.
   */
  readonly cutOff: 'event' | 'notice';
};

const caep = 'https://schemas.openid.net/secevent/caep/event-type/';
const risc = 'https://schemas.openid.net/secevent/risc/event-type/';
const credentialChange = `${caep}credential-change`;

/** Events that end sessions. All other events are acknowledged and ignored. */
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
 * Reads the events of a verified SET (RFC 8417 §2.2). They all describe one occurrence, so an event whose
 * subject can't be read refuses the whole SET.
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
  // An additional credential, such as a second passkey, endangers no session.
  return rules.credentialChange && payload['change_type'] !== 'create';
}

/**
 * Reads the subject. Drafts put it into the event. Now it is `sub_id`, and the event may repeat it (Shared
 * Signals Framework §3.1). All places name the same subject, so the first readable one is enough.
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

/** The cut-off, by the sender's clock. A time in another unit than seconds is ignored. */
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

/** The last segment of an event type, for the log. */
const nameOf = (uri: string): string => uri.slice(uri.lastIndexOf('/') + 1).slice(0, maxNameLength);
