import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  readSubject,
  type SubjectPart,
  type SubjectRules,
  type SubjectScope,
} from '../../src/receivers/set-subject.ts';

const iss = 'https://issuer.test';
const rules: SubjectRules = { issuers: [iss], trustSessionIds: false };
const user = { format: 'iss_sub', iss, sub: 'user-1' };
const session = { format: 'opaque', id: 'session-1' };
const asUser = { kind: 'subject', id: 'user-1' };
const asSession = { kind: 'session', id: 'session-1' };

/** The ids that the subject names. */
function partsOf(value: unknown, scope: SubjectScope, by = rules): readonly SubjectPart[] {
  const read = readSubject(value, scope, by, 'sub_id');
  return read.kind === 'named' ? read.parts : [];
}

describe('a subject identifier', () => {
  it('by issuer and subject names the account', () => {
    expect(partsOf(user, 'session')).toEqual([asUser]);
    expect(partsOf(user, 'account')).toEqual([asUser]);
  });

  it('of another issuer names nothing', () => {
    expect(partsOf({ ...user, iss: 'https://other.test' }, 'account')).toEqual([]);
  });

  it('that is opaque names a session and an account, if it may mean both', () => {
    expect(partsOf(session, 'session')).toEqual([asSession, { kind: 'subject', id: 'session-1' }]);
    expect(partsOf(session, 'account')).toEqual([{ kind: 'subject', id: 'session-1' }]);
  });

  it('of a session with its user names both, as the session id need not be the one in tokens', () => {
    const complex = { format: 'complex', session, user, tenant: { format: 'opaque', id: 't' } };
    expect(partsOf(complex, 'session')).toEqual([asSession, asUser]);
    expect(partsOf(complex, 'session', { ...rules, trustSessionIds: true })).toEqual([asSession]);
    expect(partsOf(complex, 'account')).toEqual([asUser]);
  });

  it('of a user on a device names the user', () => {
    const complex = { format: 'complex', user, device: { format: 'opaque', id: 'd' } };
    expect(partsOf(complex, 'session', { ...rules, trustSessionIds: true })).toEqual([asUser]);
  });

  it('with members but no format is a complex one of older drafts', () => {
    expect(partsOf({ user, device: { format: 'opaque', id: 'd' } }, 'session')).toEqual([asUser]);
  });

  it('of a session alone names the session, and no account', () => {
    const complex = { format: 'complex', session };
    expect(partsOf(complex, 'session')).toEqual([asSession]);
    expect(partsOf(complex, 'account')).toEqual([]);
  });

  it('of a token names the token', () => {
    const token = { format: 'jwt_id', iss, jti: 'token-1' };
    expect(partsOf(token, 'session')).toEqual([{ kind: 'token', id: 'token-1' }]);
    expect(partsOf({ format: 'complex', session: token }, 'session')).toEqual([
      { kind: 'token', id: 'token-1' },
    ]);
  });

  it('with aliases names what can be named among them', () => {
    const aliases = { format: 'aliases', identifiers: [{ format: 'email', email: 'a@b.test' }, user] };
    expect(partsOf(aliases, 'account')).toEqual([asUser]);
    const many = (length: number) => ({ format: 'aliases', identifiers: Array.from({ length }, () => user) });
    expect(partsOf(many(16), 'account')).toHaveLength(16);
    expect(partsOf(many(17), 'account')).toEqual([]);
    expect(partsOf({ format: 'complex', user: many(17) }, 'account')).toEqual([]);
  });

  it.each([
    { format: 'email', email: 'a@b.test' },
    { format: 'phone_number', phone_number: '+12065550100' },
    { format: 'account', uri: 'acct:a@b.test' },
    { format: 'did', url: 'did:example:1' },
    { format: 'uri', uri: 'https://b.test/a' },
    { format: 'saml_assertion_id', issuer: iss, assertion_id: 'a' },
    { format: 'complex', tenant: { format: 'opaque', id: 't' } },
    { format: 'complex', user: { format: 'complex', user } },
    { format: 'aliases', identifiers: [{ format: 'complex', user }] },
    { format: 'aliases', identifiers: [{ format: 'aliases', identifiers: [user] }] },
    { format: 'aliases', identifiers: user },
    { ...user, format: 7 },
    { ...user, sub: '' },
    { ...user, sub: 1 },
    { ...session, id: 'x'.repeat(257) },
    'user-1',
    null,
  ])('that tokens hold nothing of names nobody: %j', (subject) => {
    expect(partsOf(subject, 'account')).toEqual([]);
  });

  it('that names nothing is described by its path and format, and never by its id', () => {
    const detailOf = (value: unknown) => {
      const read = readSubject(value, 'session', rules, 'sub_id');
      return read.kind === 'unnamed' ? [read.detail.claim, read.detail.found] : undefined;
    };
    const mail = { format: 'email', email: 'someone@mail.test' };
    expect(detailOf(mail)).toEqual(['sub_id', 'email']);
    expect(detailOf({ format: 'complex', user: mail })).toEqual(['sub_id.user', 'email']);
    expect(detailOf({ ...user, iss: `${iss}/` })).toEqual(['sub_id', `iss_sub of ${iss}/`]);
    expect(detailOf({ format: 'x'.repeat(1000) })?.[1]).toHaveLength(64);
    const elsewhere = { device: session, tenant: { format: 'opaque', id: 't' } };
    expect(detailOf({ format: 'complex', ...elsewhere })).toEqual(['sub_id', 'complex of device tenant']);
    expect(detailOf({ format: 'complex', ['m'.repeat(500)]: session })?.[1]?.length).toBeLessThan(300);
    expect(detailOf('someone@mail.test')).toEqual(['sub_id', 'a string']);
  });

  it('is read without a fault, whatever it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('session', 'account'), (value, scope) => {
        for (const { id } of partsOf(value, scope)) expect(id.length).toBeGreaterThan(0);
      }),
    );
  });
});
