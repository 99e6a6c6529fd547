import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createCredentialExtractor, type CredentialSource } from '../../src/token/credential.ts';
import { TokenEntry } from '../../src/token/token-table.ts';

const find = (
  headers: Record<string, readonly string[]>,
  sources: readonly CredentialSource[] = [{ header: 'authorization' }],
) => {
  const credential = createCredentialExtractor({ sources, maxTokenBytes: 64 })(
    new Map(Object.entries(headers)),
  );
  return credential.kind === 'token' ? token(credential.token) : credential;
};

const token = (text: string) => ({ kind: 'token', token: text });

describe('the Authorization header', () => {
  it.each([
    ['Bearer abc.def', 'abc.def'],
    ['bearer abc', 'abc'],
    ['BEARER abc', 'abc'],
    ['Bearer   abc', 'abc'],
    [' Bearer abc ', 'abc'],
  ])('gives the token of %j', (value, expected) => {
    expect(find({ authorization: [value] })).toEqual(token(expected));
  });

  it.each([
    [{}],
    [{ authorization: [] }],
    [{ authorization: [''] }],
    [{ authorization: ['Basic dXNlcjpwYXNz'] }],
    [{ authorization: ['Digest username="a", realm="b"'] }],
    [{ authorization: ['Bearerabc'] }],
    [{ 'x-other': ['Bearer abc'] }],
  ])('gives none for %j', (headers) => {
    expect(find(headers as Record<string, string[]>)).toEqual({ kind: 'none' });
  });

  it.each(['Bearer', 'Bearer a b', 'Bearer a,Bearer b c', 'Bearer\ta', 'Bearer\u00a0a', 'bearer \t a'])(
    'finds %j malformed',
    (value) => {
      expect(find({ authorization: [value] }).kind).toBe('malformed');
    },
  );

  it.each([
    ['two values', ['Bearer a', 'Bearer b']],
    ['two values that a proxy joined', ['Bearer a,Bearer b']],
    ['a token beside another scheme', ['Basic dXNlcjpwYXNz', 'Bearer a']],
    ['a token joined with another scheme', ['Basic dXNlcjpwYXNz, Bearer a']],
  ])('refuses %s', (_, values) => {
    expect(find({ authorization: values })).toEqual({ kind: 'multiple' });
  });

  it.each([[['Bearer a', 'Bearer a']], [['Bearer a,bearer a']], [['Bearer a', '']]])(
    'accepts the same token twice: %j',
    (values) => {
      expect(find({ authorization: values })).toEqual(token('a'));
    },
  );

  it('gives the entry of a known token for its own header value alone', () => {
    const sources = [{ header: 'authorization' }];
    const extract = createCredentialExtractor({ sources, maxTokenBytes: 64 });
    const known = new TokenEntry('one', 'Bearer one');
    const present = (...values: string[]) => extract(new Map([['authorization', values]]), known);
    expect(present('Bearer one')).toBe(known);
    expect(present('Bearer two')).toMatchObject({ token: 'two' });
    expect(present('Bearer one', 'Bearer two')).toEqual({ kind: 'multiple' });
    expect(present()).toEqual({ kind: 'none' });
  });

  it('refuses a value that is too long before looking at it', () => {
    expect(find({ authorization: [`Bearer ${'a'.repeat(4096)}`] })).toMatchObject({
      kind: 'malformed',
      problem: 'longer than 256 bytes',
    });
  });
});

describe('another header', () => {
  const sources = [{ header: 'x-token' }];

  it.each([
    ['abc', 'abc'],
    ['Bearer abc', 'abc'],
  ])('gives the token of %j, with or without a scheme', (value, expected) => {
    expect(find({ 'x-token': [value] }, sources)).toEqual(token(expected));
  });
});

describe('a cookie', () => {
  const sources = [{ cookie: 'session' }];

  it.each([
    ['session=abc', 'abc'],
    ['a=b; session=abc; c=d', 'abc'],
    ['a=b;session=abc', 'abc'],
    ['session="abc"', 'abc'],
    ['session=a=b', 'a=b'],
    ['session=abc; session=abc', 'abc'],
  ])('gives the token of %j', (value, expected) => {
    expect(find({ cookie: [value] }, sources)).toEqual(token(expected));
  });

  it.each(['', 'session', 'session='])('gives none for %j', (value) => {
    expect(find({ cookie: [value] }, sources)).toEqual({ kind: 'none' });
  });

  it.each(['Session=abc', 'xsession=abc', 'a=session=b'])('is not mistaken for another: %j', (value) => {
    expect(find({ cookie: [value] }, sources)).toEqual({ kind: 'none' });
  });

  it('set twice to different tokens is refused', () => {
    expect(find({ cookie: ['session=a; session=b'] }, sources)).toEqual({ kind: 'multiple' });
    expect(find({ cookie: ['session=a', 'session=b'] }, sources)).toEqual({ kind: 'multiple' });
  });

  it('longer than a token may be is refused', () => {
    expect(find({ cookie: [`session=${'a'.repeat(65)}`] }, sources).kind).toBe('malformed');
    expect(find({ cookie: ['a'.repeat(70_000)] }, sources).kind).toBe('malformed');
  });
});

describe('several sources', () => {
  const sources = [{ header: 'authorization' }, { cookie: 'session' }];

  it('are read in order, and one credential is enough', () => {
    expect(find({ cookie: ['session=abc'] }, sources)).toEqual(token('abc'));
    expect(find({ authorization: ['Bearer abc'], cookie: ['other=x'] }, sources)).toEqual(token('abc'));
  });

  it('may hold the same token', () => {
    expect(find({ authorization: ['Bearer abc'], cookie: ['session=abc'] }, sources)).toEqual(token('abc'));
  });

  it('may not hold two different ones', () => {
    expect(find({ authorization: ['Bearer abc'], cookie: ['session=xyz'] }, sources)).toEqual({
      kind: 'multiple',
    });
  });
});

describe('any header values', () => {
  it('never throw, and give a token only if it stands in one of them', () => {
    const values = fc.array(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.constantFrom('Bearer a', 'Bearer b', 'session=a', 'session=b'),
      ),
      { maxLength: 4 },
    );
    const sources = [{ header: 'authorization' }, { header: 'x-token' }, { cookie: 'session' }];
    fc.assert(
      fc.property(values, values, values, (authorization, other, cookie) => {
        const found = find({ authorization, 'x-token': other, cookie }, sources);
        if (found.kind !== 'token') return;
        const holders = [...authorization, ...other, ...cookie].filter((value) =>
          value.includes(found.token),
        );
        expect(holders.length).toBeGreaterThan(0);
        expect(found.token.length).toBeLessThanOrEqual(256);
      }),
    );
  });
});
