import { isId, isObject } from '../../revocation/event.ts';

/** What a subject names, as revocations can name it. */
export type SubjectPart = { readonly kind: 'session' | 'subject' | 'token'; readonly id: string };

/** What an event is about: a session, or an account with all its sessions. */
export type SubjectScope = 'session' | 'account';

export type SubjectRules = {
  /** Whose accounts they are: the SET's issuer, and the tokens'. */
  readonly issuers: readonly string[];
  /** The sender's session ids are the ones in the tokens' session claim. */
  readonly trustSessionIds: boolean;
};

const maxAliases = 16;

/**
 * Reads a subject identifier (RFC 9493 §3, and `complex` and `jwt_id` of the Shared Signals Framework §3). Where it
 * leaves open what is meant, everything that may be: too much costs a refresh, too little leaves a thief inside.
 * @returns empty if it names nothing that tokens hold, such as an e-mail address
 */
export function readSubject(value: unknown, scope: SubjectScope, rules: SubjectRules): SubjectPart[] {
  if (!isObject(value)) return [];
  // Before it had a format of its own, a complex subject was told by its members.
  if (value['format'] === 'complex' || value['format'] === undefined) return readComplex(value, scope, rules);
  if (value['format'] === 'aliases') return readAliases(value['identifiers'], scope, rules);
  return readSimple(value, scope, rules);
}

function readSimple(value: unknown, scope: SubjectScope, { issuers }: SubjectRules): SubjectPart[] {
  if (!isObject(value)) return [];
  const { format, iss, sub, id, jti } = value;
  switch (format) {
    case 'iss_sub':
      return isOneOf(iss, issuers) && isId(sub) ? [{ kind: 'subject', id: sub }] : [];
    case 'opaque': {
      if (!isId(id)) return [];
      const subject: SubjectPart = { kind: 'subject', id };
      // By itself the id of a session as well as of an account (CAEP §3.1 shows the former).
      return scope === 'account' ? [subject] : [{ kind: 'session', id }, subject];
    }
    case 'jwt_id':
      return scope === 'session' && isOneOf(iss, issuers) && isId(jti) ? [{ kind: 'token', id: jti }] : [];
    default:
      return [];
  }
}

/** Shared Signals Framework §3.2: members say what they are; together they mean what all of them fit. */
function readComplex(
  { session, user }: Readonly<Record<string, unknown>>,
  scope: SubjectScope,
  rules: SubjectRules,
): SubjectPart[] {
  const accounts = readSimple(user, 'account', rules);
  if (scope === 'account') return accounts;
  const sessions = readSession(session, rules);
  return sessions.length > 0 && rules.trustSessionIds ? sessions : [...sessions, ...accounts];
}

function readSession(session: unknown, rules: SubjectRules): SubjectPart[] {
  if (!isObject(session)) return [];
  if (session['format'] === 'opaque' && isId(session['id'])) return [{ kind: 'session', id: session['id'] }];
  return session['format'] === 'jwt_id' ? readSimple(session, 'session', rules) : [];
}

/** RFC 9493 §3.2.8: several names of one subject; they aren't nested. */
function readAliases(identifiers: unknown, scope: SubjectScope, rules: SubjectRules): SubjectPart[] {
  if (!Array.isArray(identifiers) || identifiers.length > maxAliases) return [];
  return identifiers.flatMap((identifier) => readSimple(identifier, scope, rules));
}

const isOneOf = (value: unknown, names: readonly string[]): boolean =>
  typeof value === 'string' && names.includes(value);
