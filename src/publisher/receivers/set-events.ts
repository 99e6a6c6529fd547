import type { EpochSeconds } from '../../runtime/clock.ts';
import type { JsonObject } from '../../token/strict-json.ts';
import { isAt, isObject } from '../../revocation/event.ts';
import type { RevocationRequest } from '../outbox.ts';
import { refuse, type Refused } from './receiver.ts';
import { readSubject, type SubjectRules, type SubjectScope } from './set-subject.ts';

export type SetEventRules = SubjectRules & {
  /** Whose tokens are revoked. */
  readonly issuer: string;
  /** Also revoke when a credential was changed, not only when it was compromised. */
  readonly credentialChange: boolean;
};

type EventType = { readonly reason: string; readonly scope: SubjectScope };

const caep = 'https://schemas.openid.net/secevent/caep/event-type/';
const risc = 'https://schemas.openid.net/secevent/risc/event-type/';
const credentialChange = `${caep}credential-change`;

/** Events that end sessions. All others are acknowledged and change nothing. */
const eventTypes: ReadonlyMap<string, EventType> = new Map([
  [`${caep}session-revoked`, { reason: 'session-revoked', scope: 'session' }],
  [credentialChange, { reason: 'credential-change', scope: 'account' }],
  [`${risc}account-disabled`, { reason: 'account-disabled', scope: 'account' }],
  [`${risc}account-purged`, { reason: 'account-purged', scope: 'account' }],
  [`${risc}credential-compromise`, { reason: 'credential-compromise', scope: 'account' }],
  [`${risc}sessions-revoked`, { reason: 'sessions-revoked', scope: 'account' }],
]);

const maxEvents = 16;

export type SetEvents =
  | { readonly kind: 'events'; readonly requests: readonly RevocationRequest[]; readonly names: string }
  | Refused;

/**
 * Reads the events of a verified SET (RFC 8417 §2.2). All its events are about one occurrence: one that can't be
 * carried out refuses them all.
 */
export function readSetEvents(claims: JsonObject, issuedAt: EpochSeconds, rules: SetEventRules): SetEvents {
  const { events } = claims;
  if (!isObject(events)) return refuse('malformed', { claim: 'events', expected: 'a JSON object' });
  const entries = Object.entries(events);
  if (entries.length === 0 || entries.length > maxEvents)
    return refuse('malformed', {
      claim: 'events',
      expected: `1 to ${maxEvents}`,
      found: `${entries.length}`,
    });
  const requests = new Map<string, RevocationRequest>();
  for (const [uri, payload] of entries) {
    if (!isObject(payload)) return refuse('malformed', { claim: 'events', expected: 'JSON objects' });
    const type = eventTypes.get(uri);
    if (type === undefined || !concerns(uri, payload, rules)) continue;
    // The subject stood in the event before it became the claim `sub_id`.
    const named = payload['subject'] ?? claims['sub_id'] ?? subjectOfJwt(claims);
    const parts = readSubject(named, type.scope, rules);
    if (parts.length === 0) return refuse('unknown_subject', { claim: 'sub_id', found: formatOf(named) });
    const at = timeOf(payload, claims, issuedAt);
    for (const { kind, id } of parts)
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

/** RFC 8417 §2.2: `sub`, in the namespace of `iss`. */
const subjectOfJwt = ({ iss, sub }: JsonObject): unknown =>
  sub === undefined ? undefined : { format: 'iss_sub', iss, sub };

/** When it happened, in the sender's clock: what it says, else when it told us of it. */
function timeOf(
  { event_timestamp: timestamp }: Readonly<Record<string, unknown>>,
  { toe }: JsonObject,
  issuedAt: EpochSeconds,
): EpochSeconds {
  const told = isAt(timestamp) ? timestamp : isAt(toe) ? toe : issuedAt;
  return Math.min(told, issuedAt);
}

const maxNameLength = 64;

/** For the log: an event type by its last segment. */
const nameOf = (uri: string): string => uri.slice(uri.lastIndexOf('/') + 1).slice(0, maxNameLength);

const formatOf = (subject: unknown): string =>
  isObject(subject) && typeof subject['format'] === 'string'
    ? subject['format'].slice(0, maxNameLength)
    : 'none';
