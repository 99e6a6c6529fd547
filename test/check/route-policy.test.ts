import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRoutePolicies } from '../../src/check/route-policy.ts';

const policies = createRoutePolicies({ maxExposureMs: 30_000 });
const policyOf = (extensions: Record<string, string>) => policies(new Map(Object.entries(extensions)));

describe('a route that asks for nothing', () => {
  it.each([{}, { 'other.key': 'x' }, { curfewish: 'x' }, { 'my.curfew.access': 'optional' }])(
    'needs a token and no more: %j',
    (extensions) => {
      expect(policyOf(extensions as Record<string, string>)).toEqual({
        access: 'required',
        audiences: undefined,
        scopes: [],
        maxExposureMs: undefined,
      });
    },
  );
});

describe('a route that asks for something', () => {
  it.each([
    [{ 'curfew.access': 'required' }, { access: 'required' }],
    [{ 'curfew.access': 'optional' }, { access: 'optional' }],
    [{ 'curfew.audience': 'billing api' }, { audiences: ['billing api'] }],
    [{ 'curfew.scopes': 'a b:c' }, { scopes: ['a', 'b:c'] }],
    [{ 'curfew.scopes': ' a  b ' }, { scopes: ['a', 'b'] }],
    [{ 'curfew.scopes': 'b a b' }, { scopes: ['b', 'a'] }],
    [{ 'curfew.max-exposure': '10s' }, { maxExposureMs: 10_000 }],
    [{ 'curfew.max-exposure': '30s' }, { maxExposureMs: 30_000 }],
    [
      {
        'curfew.access': 'optional',
        'curfew.scopes': 'a',
        'curfew.audience': 'b',
        'curfew.max-exposure': '15s',
        x: 'y',
      },
      { access: 'optional', scopes: ['a'], audiences: ['b'], maxExposureMs: 15_000 },
    ],
  ])('gets it: %j', (extensions, expected) => {
    expect(policyOf(extensions as Record<string, string>)).toMatchObject(expected);
  });
});

describe('a route that is wrong', () => {
  it.each([
    ['curfew.access', 'Optional'],
    ['curfew.access', ''],
    ['curfew.access', 'none'],
    ['curfew.audience', ''],
    ['curfew.scopes', ''],
    ['curfew.scopes', '  '],
    ['curfew.scopes', 'a"b'],
    ['curfew.scopes', 'a\nb'],
    ['curfew.scopes', 'x'.repeat(4097)],
    ['curfew.max-exposure', '9s'],
    ['curfew.max-exposure', '31s'],
    ['curfew.max-exposure', '30'],
    ['curfew.max-exposure', ''],
    ['curfew.max-exposure', '-10s'],
    ['curfew.acess', 'optional'],
    ['curfew.Access', 'optional'],
    ['Curfew.access', 'optional'],
    ['curfew.scope', 'admin'],
    ['curfew.', 'x'],
    ['curfew.public', 'true'],
  ])('is misconfigured, never laxer: %s = %j', (name, value) => {
    expect(policyOf({ 'curfew.access': 'optional', [name]: value })).toMatchObject({
      access: 'misconfigured',
      detail: { claim: name },
    });
  });
});

describe('equal routes', () => {
  it('are parsed once', () => {
    expect(policyOf({ 'curfew.scopes': 'once' })).toBe(policyOf({ 'curfew.scopes': 'once', other: 'x' }));
  });

  it('are not kept when they are longer than any real route’s', () => {
    const long = { 'curfew.unknown': 'x'.repeat(10_000) };
    expect(policyOf(long)).toMatchObject({ access: 'misconfigured' });
    expect(policyOf(long)).not.toBe(policyOf(long));
  });

  it('are not confused: a value cannot pose as the next setting', () => {
    for (const posing of ['a13:curfew.access8:optional', 'acurfew.accessoptional'])
      expect(policyOf({ 'curfew.audience': posing })).toMatchObject({ access: 'required' });
    expect(policyOf({ 'curfew.audience': 'a', 'curfew.access': 'optional' })).toMatchObject({
      access: 'optional',
    });
  });

  it('are cached up to a bound, and are right beyond it', () => {
    for (let index = 0; index < 3000; index += 1)
      expect(policyOf({ 'curfew.audience': `a${index}` })).toMatchObject({ audiences: [`a${index}`] });
  });
});

describe('without revocation', () => {
  it('a route may ask for any exposure of ten seconds or more', () => {
    const free = createRoutePolicies({ maxExposureMs: Infinity });
    expect(free(new Map([['curfew.max-exposure', '1h']]))).toMatchObject({ maxExposureMs: 3_600_000 });
    expect(free(new Map([['curfew.max-exposure', '5s']]))).toMatchObject({
      access: 'misconfigured',
      detail: { expected: 'a duration from 10s' },
    });
  });
});

describe('whatever the extensions', () => {
  it('never throw, and open a route only by the exact words', () => {
    const names = fc.oneof(
      fc.constantFrom(
        'curfew.access',
        'curfew.audience',
        'curfew.scopes',
        'curfew.max-exposure',
        '__proto__',
      ),
      fc.string(),
      fc.string().map((text) => `curfew.${text}`),
    );
    const values = fc.oneof(fc.constantFrom('optional', 'required', 'a b', '10s'), fc.string());
    const property = fc.property(fc.array(fc.tuple(names, values), { maxLength: 6 }), (entries) => {
      const extensions = new Map(entries);
      const { access } = policies(extensions);
      return access !== 'optional' || extensions.get('curfew.access') === 'optional';
    });
    expect(() => fc.assert(property, { numRuns: 1000 })).not.toThrow();
  });
});
