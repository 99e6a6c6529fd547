import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTokenCache } from '../../src/token/token-cache.ts';

const roomy = 1024 * 1024;

describe('the cache of verified tokens', () => {
  it('gives back what was put in, and nothing for another token', () => {
    const cache = createTokenCache<number>({ maxEntries: 10, maxBytes: roomy });
    cache.set('a', 1);
    expect([cache.get('a'), cache.get('b'), cache.get('__proto__')]).toEqual([1, undefined, undefined]);
  });

  it('forgets what was not used lately when it is full, and keeps what was', () => {
    const cache = createTokenCache<string>({ maxEntries: 8, maxBytes: roomy });
    for (const token of 'abcd') cache.set(token, token);
    for (const token of 'efg') {
      cache.set(token, token);
      expect(cache.get('a')).toBe('a');
    }
    for (const token of 'hijk') cache.set(token, token);
    expect(cache.get('a')).toBe('a');
    expect(cache.get('b')).toBeUndefined();
  });

  it('is bounded by bytes as well as by entries', () => {
    const cache = createTokenCache<number>({ maxEntries: 1_000_000, maxBytes: 100_000 });
    for (let index = 0; index < 1000; index += 1) cache.set(`${index}${'x'.repeat(800)}`, index);
    expect(cache.size).toBeLessThan(40);
  });

  it('does not keep an entry that is larger than half of it', () => {
    const cache = createTokenCache<number>({ maxEntries: 10, maxBytes: 10_000 });
    cache.set('x'.repeat(5000), 1);
    expect(cache.size).toBe(0);
  });

  it('never holds more than its bound nor gives a wrong entry, whatever is done', () => {
    const steps = fc.array(
      fc.record({ what: fc.constantFrom('set', 'get', 'delete'), token: fc.integer({ min: 0, max: 30 }) }),
      { maxLength: 300 },
    );
    const property = fc.property(steps, fc.integer({ min: 2, max: 12 }), (actions, maxEntries) => {
      const cache = createTokenCache<number>({ maxEntries, maxBytes: roomy });
      const model = new Map<string, number>();
      let version = 0;
      for (const { what, token } of actions) {
        const name = `t${token}`;
        version += 1;
        if (what === 'set') {
          cache.set(name, version);
          model.set(name, version);
        }
        if (what === 'delete') {
          cache.delete(name);
          model.delete(name);
        }
        const found = cache.get(name);
        if (found !== undefined && found !== model.get(name)) return false;
        if (what === 'set' && found === undefined) return false;
        if (cache.size > maxEntries) return false;
      }
      return true;
    });
    expect(() => fc.assert(property, { numRuns: 500 })).not.toThrow();
  });
});
