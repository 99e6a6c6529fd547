import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryBudget } from '../../src/http2/memory-budget.ts';

describe('a budget', () => {
  it('gives no connection more than its share, nor all together more than there is', () => {
    const budget = new MemoryBudget({ mostBytes: 250, mostBytesOfOne: 100 });
    const [a, b, c] = [{}, {}, {}];
    expect([budget.take(a, 60), budget.take(a, 41), budget.take(a, 40)]).toEqual([true, false, true]);
    expect([budget.take(b, 100), budget.take(c, 51), budget.take(c, 50)]).toEqual([true, false, true]);
    expect(budget.bytes).toBe(250);
    budget.giveBack(b, 100);
    expect([budget.take(a, 1), budget.take(c, 50), budget.bytes]).toEqual([false, true, 200]);
  });

  it('is what was taken and not given back, whatever the order', () => {
    const step = fc.record({
      who: fc.nat({ max: 3 }),
      bytes: fc.nat({ max: 60 }),
      isBack: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const budget = new MemoryBudget({ mostBytes: 200, mostBytesOfOne: 90 });
        const owners = [{}, {}, {}, {}];
        const shares = [0, 0, 0, 0];
        for (const { who, bytes, isBack } of steps) {
          const share = shares[who] ?? 0;
          const owner = owners[who] ?? {};
          const fits = share + bytes <= 90 && budget.bytes + bytes <= 200;
          const given = isBack ? Math.min(bytes, share) : 0;
          if (isBack) budget.giveBack(owner, given);
          expect(isBack || budget.take(owner, bytes) === fits).toBe(true);
          shares[who] = share - given + (!isBack && fits ? bytes : 0);
          expect(budget.bytes).toBe(shares.reduce((sum, each) => sum + each, 0));
        }
      }),
    );
  });
});
