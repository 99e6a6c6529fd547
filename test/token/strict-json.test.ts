import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isJsonObject, numberOf, parseJsonObject } from '../../src/token/strict-json.ts';

const problemOf = (text: string): string => {
  const parsed = parseJsonObject(text);
  return parsed.kind === 'invalid' ? parsed.problem : 'none';
};

describe('strict JSON', () => {
  it.each([
    ['{"a":1,"a":1}', 'a member appears twice'],
    ['{"a":1,"\\u0061":1}', 'a member appears twice'],
    ['{"x":{"y":[{"a":1,"a":2}]}}', 'a member appears twice'],
    ['{"__proto__":1,"__proto__":2}', 'a member appears twice'],
  ])('refuses a member named twice: %s', (text, problem) => {
    expect(problemOf(text)).toBe(problem);
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
    'takes %s for a member like any other',
    (name) => {
      const parsed = parseJsonObject(`{"${name}":"x"}`);
      if (parsed.kind === 'invalid') throw new Error(parsed.problem);
      expect(Object.getPrototypeOf(parsed.value)).toBeNull();
      expect(Object.entries(parsed.value)).toEqual([[name, 'x']]);
    },
  );

  it('finds no member in an empty object, not even an inherited one', () => {
    const parsed = parseJsonObject('{}');
    expect(parsed.kind === 'object' && 'toString' in parsed.value).toBe(false);
  });

  it('refuses what is nested deeper than 16 levels, however deep', () => {
    const nested = (depth: number): string => `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    expect(problemOf(nested(15))).toBe('none');
    expect(problemOf(nested(16))).toBe('nested deeper than 16 levels');
    expect(problemOf(nested(1_000_000))).toBe('nested deeper than 16 levels');
  });

  it.each(['{"a":"\\ud800"}', '{"\\udc00":1}', '{"a":["\\ud83d x"]}'])(
    'refuses a lone surrogate: %s',
    (text) => {
      expect(problemOf(text)).toBe('a lone surrogate');
    },
  );

  it.each(['"a"', '[1]', 'null', '1', 'true'])('refuses %s, which is no object', (text) => {
    expect(problemOf(text)).toBe('not a JSON object');
  });

  it.each([
    '',
    '{',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{a:1}',
    "{'a':1}",
    '{"a":01}',
    '{"a":+1}',
    '{"a":.5}',
    '{"a":1.}',
    '{"a":NaN}',
    '{"a":Infinity}',
    '{"a":"\u0001"}',
    '{"a":"\\x41"}',
    '{"a":"\\u12"}',
    '{"a":tru}',
    '{"a":1}x',
    '{"a":1} {"b":2}',
    '\uFEFF{"a":1}',
    '{"a":[1,]}',
    '{"a":/* */1}',
  ])('refuses what is not JSON: %j', (text) => {
    expect(parseJsonObject(text).kind).toBe('invalid');
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
  });

  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue({ maxDepth: 8, stringUnit: 'grapheme' })),
        fc.constantFrom(undefined, 1, '\t'),
        (value, indent) => {
          const text = JSON.stringify(value, null, indent);
          const parsed = parseJsonObject(text);
          expect(parsed.kind === 'object' && JSON.stringify(parsed.value)).toBe(
            JSON.stringify(JSON.parse(text)),
          );
        },
      ),
    );
  });

  it.each([
    ['4611686018427387905', '4611686018427387905'],
    ['-4611686018427387905', '-4611686018427387905'],
    ['9007199254740995', '9007199254740995'],
    ['98765432109876543210987', '98765432109876543210987'],
    ['0.30000000000000000001', '0.30000000000000000001'],
    ['4000000000000000000000000', '4000000000000000000000000'],
    ['7e-400', '7e-400'],
    ['7e999', '7e999'],
    ['{"n":[4611686018427387905]}', '{"n":[4611686018427387905]}'],
  ])('keeps the digits of a number that a double would round: %s', (text, expected) => {
    const parsed = parseJsonObject(`{"id":${text}}`);
    expect(parsed.kind === 'object' && JSON.stringify(parsed.value['id'])).toBe(expected);
  });

  it.each([
    ['9007199254740991', 9007199254740991],
    ['12345678901234567000', 12345678901234567000],
    ['1.50', 1.5],
    ['1764547200.123456', 1764547200.123456],
    ['17.645e8', 1764500000],
    ['-0', -0],
    ['0e99999', 0],
  ])('reads a number that a double holds as that number: %s', (text, expected) => {
    const parsed = parseJsonObject(`{"n":${text}}`);
    expect(parsed.kind === 'object' && parsed.value['n']).toBe(expected);
  });

  it('never makes one of two different integers', () => {
    const digits = fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n });
    const property = fc.property(digits, fc.bigInt({ min: 1n, max: 3n }), (one, distance) => {
      const read = (id: bigint): string => {
        const parsed = parseJsonObject(`{"id":${id}}`);
        return parsed.kind === 'object' ? JSON.stringify(parsed.value['id']) : 'invalid';
      };
      return BigInt(read(one)) === one && read(one) !== read(one + distance);
    });
    expect(() => fc.assert(property, { numRuns: 2000 })).not.toThrow();
  });

  it('takes a number with kept digits for a number, not for an object', () => {
    const parsed = parseJsonObject('{"id":4611686018427387905}');
    if (parsed.kind === 'invalid') throw new Error(parsed.problem);
    expect(isJsonObject(parsed.value['id'])).toBe(false);
    expect(numberOf(parsed.value['id'])).toBe(2 ** 62);
    expect(numberOf({ rawJSON: '1' })).toBeUndefined();
  });

  it('never throws, and never reads what JSON.parse refuses', () => {
    const pieces = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      '"',
      ':',
      ',',
      'a',
      '1',
      '-',
      'e',
      '.',
      '\\',
      'u00',
      ' ',
      'null',
    );
    const texts = fc.oneof(
      fc.string(),
      fc.array(pieces, { maxLength: 40 }).map((parts) => parts.join('')),
    );
    const isRead = (text: string): boolean => parseJsonObject(text).kind === 'object';
    const isJson = (text: string): boolean => {
      try {
        JSON.parse(text);
        return true;
      } catch {
        return false;
      }
    };
    const property = fc.property(texts, (text) => !isRead(text) || isJson(text));
    expect(() => fc.assert(property, { numRuns: 2000 })).not.toThrow();
  });
});
