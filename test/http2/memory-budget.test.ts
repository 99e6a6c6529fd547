import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryBudget } from '../../src/http2/memory-budget.ts';

describe('a budget', () => {
  it('gives no connection more than its share, nor all together more than there is', () => {
    const budget = new MemoryBudget({ mostBytes: 250, mostBytesOfOne: 100, ownBytes: 0 });
    const [a, b, c] = [budget.share(), budget.share(), budget.share()];
    expect([a.take(60), a.take(41), a.take(40)]).toEqual([true, false, true]);
    expect([b.take(100), c.take(51), c.take(50)]).toEqual([true, false, true]);
    expect(budget.bytes).toBe(250);
    b.giveBack(100);
    expect([a.take(1), c.take(50), budget.bytes]).toEqual([false, true, 200]);
  });

  it('leaves each connection something of its own, whatever others take', () => {
    const budget = new MemoryBudget({ mostBytes: 100, mostBytesOfOne: 150, ownBytes: 30 });
    const [greedy, other] = [budget.share(), budget.share()];
    expect([greedy.take(130), greedy.take(1), budget.bytes]).toEqual([true, false, 100]);
    expect([other.take(20), other.take(10), other.take(1), budget.bytes]).toEqual([true, true, false, 100]);
    greedy.giveBack(110);
    expect([budget.bytes, other.take(70), budget.bytes]).toEqual([0, true, 70]);
  });

  it('tells when nothing is kept any more for a connection that has ended', () => {
    const budget = new MemoryBudget({ mostBytes: 100, mostBytesOfOne: 150, ownBytes: 30 });
    const [idle, busy] = [budget.share(), budget.share()];
    const freed: string[] = [];
    idle.end(() => freed.push('idle'));
    expect(freed).toEqual(['idle']);
    expect(busy.take(50)).toBe(true);
    busy.giveBack(20);
    busy.end(() => freed.push('busy'));
    expect(busy.take(1)).toBe(false);
    busy.giveBack(29);
    expect(freed).toEqual(['idle']);
    busy.giveBack(1);
    busy.giveBack(0);
    expect([freed, budget.bytes]).toEqual([['idle', 'busy'], 0]);
  });

  it('is what was taken and not given back, whatever the order', () => {
    const step = fc.record({
      who: fc.nat({ max: 3 }),
      bytes: fc.nat({ max: 60 }),
      isBack: fc.boolean(),
    });
    const beyond = (share: number): number => Math.max(0, share - 25);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const budget = new MemoryBudget({ mostBytes: 120, mostBytesOfOne: 90, ownBytes: 25 });
        const shares = [budget.share(), budget.share(), budget.share(), budget.share()];
        const taken = [0, 0, 0, 0];
        for (const { who, bytes, isBack } of steps) {
          const before = taken[who] ?? 0;
          const others = taken.reduce((sum, each, index) => sum + (index === who ? 0 : beyond(each)), 0);
          const fits =
            before + bytes <= 90 && (before + bytes <= 25 || others + beyond(before + bytes) <= 120);
          const given = isBack ? Math.min(bytes, before) : 0;
          if (isBack) shares[who]?.giveBack(given);
          expect(isBack || shares[who]?.take(bytes) === fits).toBe(true);
          taken[who] = before - given + (!isBack && fits ? bytes : 0);
          expect(shares.map((share) => share.bytes)).toEqual(taken);
          expect(budget.bytes).toBe(taken.reduce((sum, each) => sum + beyond(each), 0));
        }
      }),
    );
  });
});
