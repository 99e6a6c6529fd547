import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSubject, type SubjectRules } from '../../../src/publisher/receivers/set-subject.ts';

const iss = 'https://issuer.test';
const rules: SubjectRules = { issuers: [iss], trustSessionIds: false };
const user = { format: 'iss_sub', iss, sub: 'user-1' };
const session = { format: 'opaque', id: 'session-1' };
const asUser = { kind: 'subject', id: 'user-1' };
const asSession = { kind: 'session', id: 'session-1' };

describe('a subject identifier', () => {
  it('by issuer and subject names the account', () => {
    expect(readSubject(user, 'session', rules)).toEqual([asUser]);
    expect(readSubject(user, 'account', rules)).toEqual([asUser]);
  });

  it('of another issuer names nobody here', () => {
    expect(readSubject({ ...user, iss: 'https://other.test' }, 'account', rules)).toEqual([]);
  });

  it('that is opaque names a session or an account, where both could be meant', () => {
    expect(readSubject(session, 'session', rules)).toEqual([asSession, { kind: 'subject', id: 'session-1' }]);
    expect(readSubject(session, 'account', rules)).toEqual([{ kind: 'subject', id: 'session-1' }]);
  });

  it('of a session with its user names both, as the session id need not be the one in tokens', () => {
    const complex = { format: 'complex', session, user, tenant: { format: 'opaque', id: 't' } };
    expect(readSubject(complex, 'session', rules)).toEqual([asSession, asUser]);
    expect(readSubject(complex, 'session', { ...rules, trustSessionIds: true })).toEqual([asSession]);
    expect(readSubject(complex, 'account', rules)).toEqual([asUser]);
  });

  it('of a user on a device names the user', () => {
    const complex = { format: 'complex', user, device: { format: 'opaque', id: 'd' } };
    expect(readSubject(complex, 'session', { ...rules, trustSessionIds: true })).toEqual([asUser]);
  });

  it('with members but no format is a complex one of older drafts', () => {
    expect(readSubject({ user, device: { format: 'opaque', id: 'd' } }, 'session', rules)).toEqual([asUser]);
  });

  it('of a session alone names the session, and no account', () => {
    const complex = { format: 'complex', session };
    expect(readSubject(complex, 'session', rules)).toEqual([asSession]);
    expect(readSubject(complex, 'account', rules)).toEqual([]);
  });

  it('of a token names the token', () => {
    const token = { format: 'jwt_id', iss, jti: 'token-1' };
    expect(readSubject(token, 'session', rules)).toEqual([{ kind: 'token', id: 'token-1' }]);
    expect(readSubject({ format: 'complex', session: token }, 'session', rules)).toEqual([
      { kind: 'token', id: 'token-1' },
    ]);
  });

  it('with aliases names what can be named among them', () => {
    const aliases = { format: 'aliases', identifiers: [{ format: 'email', email: 'a@b.test' }, user] };
    expect(readSubject(aliases, 'account', rules)).toEqual([asUser]);
    const many = { format: 'aliases', identifiers: Array.from({ length: 17 }, () => user) };
    expect(readSubject(many, 'account', rules)).toEqual([]);
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
    { ...user, sub: '' },
    { ...user, sub: 1 },
    { ...session, id: 'x'.repeat(257) },
    'user-1',
    null,
  ])('that tokens hold nothing of names nobody: %j', (subject) => {
    expect(readSubject(subject, 'account', rules)).toEqual([]);
  });

  it('is read without a fault, whatever it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('session', 'account'), (value, scope) => {
        for (const { id } of readSubject(value, scope, rules)) expect(id.length).toBeGreaterThan(0);
      }),
    );
  });
});
