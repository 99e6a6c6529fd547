import { isRevocableId, isObject } from '../revocation-log/event.ts';
import type { RejectionDetail } from '../token/rejection.ts';
import { shown } from './signed-jwt.ts';

/** One id that a subject identifier names, in the terms of revocations. */
export type SubjectPart = { readonly kind: 'session' | 'subject' | 'token'; readonly id: string };

/** Whether an event is about one session, or about an account with all its sessions. */
export type SubjectScope = 'session' | 'account';

export type SubjectRules = {
  /** The issuers whose accounts may be named: the SET's issuer and the tokens' issuer. */
  readonly issuers: readonly string[];
  /** Whether the sender's session ids are those in the tokens' session claim. */
  readonly trustSessionIds: boolean;
};

export type ReadSubject =
  | { readonly kind: 'named'; readonly parts: readonly SubjectPart[] }
  /** The subject names nothing that tokens hold. `claim` is the path of the member that should name it. */
  | { readonly kind: 'unnamed'; readonly detail: RejectionDetail };

const maxAliases = 16;

/** Some senders, such as Keycloak, use this session id for all sessions of the user. No session has it. */
const allSessions = 'ALL';

export const isSessionId = (value: unknown): value is string => isRevocableId(value) && value !== allSessions;

/**
 * Reads a subject identifier (RFC 9493 §3, and `complex` and `jwt_id` of the Shared Signals Framework §3). An
 * ambiguous identifier names everything that it may mean: revoking too much costs a refresh, and revoking too
 * little leaves a thief logged in.
 * @param claim the path of the subject, for the detail
 */
export function readSubject(
  value: unknown,
  scope: SubjectScope,
  rules: SubjectRules,
  claim: string,
): ReadSubject {
  // In drafts, complex subjects had no format.
  if (isObject(value) && [undefined, 'complex'].includes(formatOf(value)))
    return readComplex(value, scope, rules, claim);
  return named(readIdentifier(value, scope === 'account' ? 'user' : 'any', rules)) ?? unnamed(claim, value);
}

/**
 * Shared Signals Framework §3.2: all members describe one principal, and an absent member stands for any
 * value. Members that revocations can't express, such as `device`, are ignored, so the event revokes more and
 * never less.
 */
function readComplex(
  { session, user, ...others }: Readonly<Record<string, unknown>>,
  scope: SubjectScope,
  rules: SubjectRules,
  claim: string,
): ReadSubject {
  const accounts = readIdentifier(user, 'user', rules);
  if (scope === 'account' || namesAllSessions(session))
    return named(accounts) ?? unnamed(`${claim}.user`, user);
  const sessions = readIdentifier(session, 'session', rules);
  if (sessions.length > 0 && rules.trustSessionIds) return { kind: 'named', parts: sessions };
  // If tokens don't hold the session id, only the revocation of the user has an effect.
  if (isPresent(user)) {
    if (accounts.length === 0) return unnamed(`${claim}.user`, user);
    return { kind: 'named', parts: [...sessions, ...accounts] };
  }
  if (isPresent(session)) return named(sessions) ?? unnamed(`${claim}.session`, session);
  return unnamed(claim, { format: 'complex', ...others });
}

/** What an identifier names. An opaque id on its own may name a session or a user. */
type Role = 'user' | 'session' | 'any';

/**
 * RFC 9493 §3.2.8: aliases are several names of one subject. Each readable one counts. They can't be nested.
 */
function readIdentifier(value: unknown, role: Role, rules: SubjectRules): SubjectPart[] {
  return aliasesOf(value).flatMap((alias) => readSimple(alias, role, rules));
}

function readSimple(value: unknown, role: Role, { issuers }: SubjectRules): SubjectPart[] {
  if (!isObject(value)) return [];
  const { iss, sub, id, jti } = value;
  switch (formatOf(value)) {
    case 'iss_sub':
    case 'id_token_claims':
      return role !== 'session' && isOneOf(iss, issuers) && isRevocableId(sub)
        ? [{ kind: 'subject', id: sub }]
        : [];
    case 'opaque':
      return readOpaque(id, role);
    case 'jwt_id':
      return role !== 'user' && isOneOf(iss, issuers) && isRevocableId(jti)
        ? [{ kind: 'token', id: jti }]
        : [];
    default:
      return [];
  }
}

function readOpaque(id: unknown, role: Role): SubjectPart[] {
  if (!isRevocableId(id)) return [];
  if (role === 'user') return [{ kind: 'subject', id }];
  if (!isSessionId(id)) return [];
  // The session id in the example of CAEP §3.1 can't be distinguished from a user id.
  return role === 'session'
    ? [{ kind: 'session', id }]
    : [
        { kind: 'session', id },
        { kind: 'subject', id },
      ];
}

const namesAllSessions = (session: unknown): boolean =>
  aliasesOf(session).some(
    (alias) => isObject(alias) && formatOf(alias) === 'opaque' && alias['id'] === allSessions,
  );

function aliasesOf(value: unknown): readonly unknown[] {
  if (!isObject(value) || formatOf(value) !== 'aliases') return [value];
  const { identifiers } = value;
  return Array.isArray(identifiers) && identifiers.length <= maxAliases ? identifiers : [];
}

/** The format. Google's RISC still sends it under the names of a draft (OpenID RISC 1.0 §3.1). */
function formatOf({ format, subject_type: drafted }: Readonly<Record<string, unknown>>): string | undefined {
  const name = format ?? drafted;
  if (name === undefined) return undefined;
  return typeof name === 'string' ? name.replaceAll('-', '_') : typeof name;
}

const isPresent = (value: unknown): boolean => value !== undefined && value !== null;

const isOneOf = (value: unknown, names: readonly string[]): boolean =>
  typeof value === 'string' && names.includes(value);

const named = (parts: readonly SubjectPart[]): ReadSubject | undefined =>
  parts.length === 0 ? undefined : { kind: 'named', parts };

const unnamed = (claim: string, value: unknown): ReadSubject => ({
  kind: 'unnamed',
  detail: {
    claim,
    expected: 'an identifier that tokens hold, such as iss_sub',
    found: shownIdentifier(value),
  },
});

const maxShown = 64;

/** The format, and the namespace or the members, for the log; never an id of a user or session. */
function shownIdentifier(value: unknown): string {
  if (!isObject(value)) return typeof value === 'string' ? 'a string' : shown(value);
  const format = (formatOf(value) ?? 'complex').slice(0, maxShown);
  if (format === 'iss_sub') return `${format} of ${shown(value['iss'])}`;
  if (format !== 'complex') return format;
  const members = Object.keys(value).filter((name) => name !== 'format');
  return shown(`${format} of ${members.slice(0, maxAliases).join(' ')}`);
}
