import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFairShare } from '../../src/runtime/fair-share.ts';

/** A share, and who was evicted, in order. */
function observed(options: Parameters<typeof createFairShare>[0]) {
  const share = createFairShare(options);
  const evicted: string[] = [];
  const parts: number[] = [];
  return {
    evicted,
    parts,
    enter: (owner: string, name: string, more: { units?: number; isReserved?: boolean } = {}) =>
      share.enter({
        owner,
        units: 1,
        ...more,
        evicted: (part) => {
          evicted.push(name);
          parts.push(part);
        },
      }),
  };
}

describe('a fair share', () => {
  it('evicts the oldest place of the owner that uses most, and no other', () => {
    const { enter, evicted, parts } = observed({ limit: 4 });
    enter('client', 'c1');
    for (const name of ['f1', 'f2', 'f3', 'f4', 'f5']) enter('flood', name);
    expect(evicted).toEqual(['f1', 'f2']);
    expect(parts).toEqual([1, 1]);
    enter('other', 'o1');
    expect(evicted).toEqual(['f1', 'f2', 'f3']);
  });

  it('counts what a place uses, not how many there are', () => {
    const { enter, evicted } = observed({ limit: 10 });
    for (const name of ['s1', 's2', 's3', 's4']) enter('small', name);
    const large = enter('large', 'l1');
    large.resize(6);
    expect(evicted).toEqual([]);
    large.resize(7);
    expect(evicted).toEqual(['l1']);
    large.resize(100);
    large.leave();
    for (const name of ['s5', 's6', 's7', 's8', 's9', 's10']) enter('small', name);
    expect(evicted).toEqual(['l1']);
  });

  it('treats a renewed place as the newest', () => {
    const { enter, evicted } = observed({ limit: 2 });
    const first = enter('one', '1');
    enter('one', '2');
    first.renew();
    enter('one', '3');
    expect(evicted).toEqual(['2']);
  });

  it('never evicts reserved places, up to the reserve', () => {
    const { enter, evicted } = observed({ limit: 6, reserve: 3 });
    for (const name of ['g1', 'g2', 'g3']) enter('good', name, { isReserved: true });
    // Many networks with one place each: none of them uses more than the good one.
    for (const name of ['a', 'b', 'c', 'd', 'e']) enter(name, name);
    expect(evicted).toEqual(['a', 'b']);
    enter('good', 'g4', { isReserved: true });
    expect(evicted).toEqual(['a', 'b', 'g1']);
  });

  it('never uses more than the limit, and releases everything', () => {
    const step = fc.record({
      owner: fc.constantFrom('a', 'b', 'c'),
      units: fc.integer({ min: 1, max: 5 }),
      isReserved: fc.boolean(),
      after: fc.constantFrom('stay', 'leave', 'grow', 'renew'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const share = createFairShare({ limit: 12, reserve: 4 });
        const inUse = new Map<number, number>();
        const used = () => [...inUse.values()].reduce((sum, units) => sum + units, 0);
        const places = steps.map(({ after, ...claim }, index) => {
          inUse.set(index, claim.units);
          const place = share.enter({ ...claim, evicted: () => void inUse.delete(index) });
          if (after === 'renew') place.renew();
          if (after === 'leave') {
            place.leave();
            inUse.delete(index);
          }
          if (after === 'grow' && inUse.has(index)) {
            inUse.set(index, claim.units + 3);
            place.resize(claim.units + 3);
          }
          expect(used()).toBeLessThanOrEqual(12);
          return place;
        });
        for (const place of places) place.leave();
        // All of it is free again.
        let wasEvicted = false;
        share.enter({ owner: 'z', units: 12, evicted: () => void (wasEvicted = true) });
        expect(wasEvicted).toBe(false);
      }),
    );
  });
});
