import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HeaderField } from '../../src/http2/header-table.ts';
import { areValidTrailers, readRequestHead } from '../../src/http2/request-head.ts';

const pseudo: readonly HeaderField[] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':authority', 'test'],
  [':path', '/a?b'],
];
const withFields = (...fields: HeaderField[]) => readRequestHead([...pseudo, ...fields]);
const headers = (...fields: HeaderField[]) => Object.fromEntries(withFields(...fields)?.headers ?? []);
const without = (name: string): HeaderField[] => pseudo.filter((field) => field[0] !== name);
const withPseudo = (name: string, value: string): HeaderField[] => [...without(name), [name, value]];

describe('the head of a request', () => {
  it('has a method, a path and headers', () => {
    const head = withFields(['content-type', 'application/grpc'], ['te', 'trailers'], ['x-empty', '']);
    expect(head).toEqual({
      method: 'POST',
      path: '/a?b',
      headers: new Map([
        ['content-type', 'application/grpc'],
        ['te', 'trailers'],
        ['x-empty', ''],
      ]),
      contentLength: undefined,
    });
  });

  it.each([
    ['no header fields', [...pseudo]],
    ['pseudo-header fields in another order', pseudo.toReversed()],
    ['no authority', without(':authority')],
  ])('may have %s', (_, fields) => {
    expect(readRequestHead(fields)).toMatchObject({ method: 'POST', path: '/a?b', headers: new Map() });
  });

  it('joins the values of a repeated name, in order', () => {
    expect(headers(['a', '1'], ['b', '2'], ['a', ''], ['a', '3'])).toEqual({ a: '1, , 3', b: '2' });
  });

  it('treats names of Object properties as any others', () => {
    expect(withFields(['constructor', 'a'], ['__proto__', 'b'])?.headers).toEqual(
      new Map([
        ['constructor', 'a'],
        ['__proto__', 'b'],
      ]),
    );
  });

  it.each([
    ['no field at all', []],
    ['no method', without(':method')],
    ['no scheme', without(':scheme')],
    ['no path', without(':path')],
    ['an empty method', withPseudo(':method', '')],
    ['an empty scheme', withPseudo(':scheme', '')],
    ['an empty path', withPseudo(':path', '')],
    ['a method twice', [...pseudo, [':method', 'POST']]],
    ['a path twice', [...pseudo, [':path', '/']]],
    ['an authority twice', [...pseudo, [':authority', 'test']]],
    ['a pseudo-header field of responses', [...pseudo, [':status', '200']]],
    ['a pseudo-header field of other protocols', [...pseudo, [':protocol', 'websocket']]],
    ['a pseudo-header field without a name', [...pseudo, [':', 'a']]],
    ['a pseudo-header field in capitals', [...without(':path'), [':Path', '/']]],
    ['a pseudo-header field after a header', [...without(':path'), ['a', 'b'], [':path', '/']]],
    ['a line break in its path', withPseudo(':path', '/\r\nx: y')],
    ['a space before its authority', withPseudo(':authority', ' test')],
  ] satisfies [string, HeaderField[]][])('is malformed with %s', (_, fields) => {
    expect(readRequestHead(fields)).toBeUndefined();
  });
});

const badNames = [
  ['no name', ''],
  ['an upper-case letter', 'X-a'],
  ['an upper-case letter at its end', 'x-A'],
  ['a space', 'x a'],
  ['a space before it', ' x'],
  ['a space after it', 'x '],
  ['a tab', 'x\t'],
  ['a line feed', 'x\n'],
  ['a colon within', 'x:y'],
  ['a NUL', 'x\0'],
  ['a DEL', 'x\x7f'],
  ['a character above ASCII', 'xé'],
  ['a bracket', 'x(y)'],
  ['a slash', 'x/y'],
  ['a connection-specific name: connection', 'connection'],
  ['a connection-specific name: proxy-connection', 'proxy-connection'],
  ['a connection-specific name: keep-alive', 'keep-alive'],
  ['a connection-specific name: transfer-encoding', 'transfer-encoding'],
  ['a connection-specific name: upgrade', 'upgrade'],
] as const;
const badValues = [
  ['a space before it', ' a'],
  ['a space after it', 'a '],
  ['a tab before it', '\ta'],
  ['a tab after it', 'a\t'],
  ['only a space', ' '],
  ['a NUL', 'a\0b'],
  ['a line feed', 'a\nb'],
  ['a line feed at its end', 'a\n'],
  ['a carriage return', 'a\rb'],
  ['only a line feed', '\n'],
] as const;
const goodValues = ['', 'a', 'a b', 'a\tb', 'é\xff', '"', ',', 'a'.repeat(5000)];

describe('a field', () => {
  it.each(badNames)('has a wrong name with %s', (_, name) => {
    expect(withFields([name, 'a'])).toBeUndefined();
    expect(
      areValidTrailers([
        ['ok', 'a'],
        [name, 'a'],
      ]),
    ).toBe(false);
  });

  it.each(badValues)('has a wrong value with %s', (_, value) => {
    expect(withFields(['a', value])).toBeUndefined();
    expect(
      areValidTrailers([
        ['ok', 'a'],
        ['a', value],
      ]),
    ).toBe(false);
  });

  it.each(goodValues)('may have the value %j', (value) => {
    expect(headers(['a', value])).toEqual({ a: value });
    expect(areValidTrailers([['a', value]])).toBe(true);
  });

  it('may have every character of a token in its name', () => {
    const name = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    expect(headers([name, 'a'])).toEqual({ [name]: 'a' });
    expect(areValidTrailers([[name, 'a']])).toBe(true);
  });

  it('named te is `trailers` and nothing else', () => {
    expect(headers(['te', 'trailers'])).toEqual({ te: 'trailers' });
    for (const value of ['', 'gzip', 'trailers, gzip', 'Trailers'])
      expect(withFields(['te', value])).toBeUndefined();
  });
});

describe('a content length', () => {
  it.each([
    ['0', 0],
    ['42', 42],
    ['007', 7],
    ['999999999999999', 999_999_999_999_999],
  ])('is a number: %s', (value, length) => {
    expect(withFields(['content-length', value])?.contentLength).toBe(length);
  });

  it.each(['', '-1', '+1', '1.5', '1e3', '0x10', '1, 1', '1 1', 'a', '1000000000000000', '١'])(
    'is malformed: %j',
    (value) => {
      expect(withFields(['content-length', value])).toBeUndefined();
    },
  );

  it('may be repeated only with the same value', () => {
    const twice = withFields(['content-length', '5'], ['content-length', '5']);
    expect(twice?.contentLength).toBe(5);
    expect(twice?.headers.get('content-length')).toBe('5');
    expect(withFields(['content-length', '5'], ['content-length', '6'])).toBeUndefined();
    expect(withFields(['content-length', '5'], ['content-length', '05'])).toBeUndefined();
  });
});

describe('trailers', () => {
  it('may be empty, or any fields that are not connection-specific', () => {
    expect(areValidTrailers([])).toBe(true);
    expect(
      areValidTrailers([
        ['grpc-status', '0'],
        ['grpc-message', ''],
      ]),
    ).toBe(true);
  });

  it.each([':method', ':path', ':status', ':other'])('have no pseudo-header field %s', (name) => {
    expect(
      areValidTrailers([
        ['a', 'b'],
        [name, 'a'],
      ]),
    ).toBe(false);
  });
});

describe('random fields', () => {
  it('make a head without line breaks, or none', () => {
    const odd = fc.string({ unit: fc.constantFrom(...'aA: \t\r\n\0é-'.split('')), maxLength: 6 });
    fc.assert(
      fc.property(fc.array(fc.tuple(odd, odd), { maxLength: 2 }), (fields) => {
        const isClean = fields.every(
          ([name, value]) => /^[a-z-]+$/.test(name) && value === value.trim() && !/[\r\n\0]/.test(value),
        );
        expect(withFields(...fields) !== undefined).toBe(isClean);
        expect(areValidTrailers(fields)).toBe(isClean);
      }),
      { numRuns: 5000 },
    );
  });
});
