import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryBudget } from '../../src/http2/memory-budget.ts';

describe('a memory budget', () => {
  it('bounds each connection, and all connections together', () => {
    const budget = new MemoryBudget({ maxSharedBytes: 250, maxConnectionBytes: 100, guaranteedBytes: 0 });
    const [a, b, c] = [budget.share(), budget.share(), budget.share()];
    expect([a.reserve(60), a.reserve(41), a.reserve(40)]).toEqual([true, false, true]);
    expect([b.reserve(100), c.reserve(51), c.reserve(50)]).toEqual([true, false, true]);
    expect(budget.bytes).toBe(250);
    b.release(100);
    expect([a.reserve(1), c.reserve(50), budget.bytes]).toEqual([false, true, 200]);
  });

  it('guarantees each connection some bytes, whatever the others take', () => {
    const budget = new MemoryBudget({ maxSharedBytes: 100, maxConnectionBytes: 150, guaranteedBytes: 30 });
    const [greedy, other] = [budget.share(), budget.share()];
    expect([greedy.reserve(130), greedy.reserve(1), budget.bytes]).toEqual([true, false, 100]);
    expect([other.reserve(20), other.reserve(10), other.reserve(1), budget.bytes]).toEqual([
      true,
      true,
      false,
      100,
    ]);
    greedy.release(110);
    expect([budget.bytes, other.reserve(70), budget.bytes]).toEqual([0, true, 70]);
  });

  it('calls back once when a closed share has released its last byte', () => {
    const budget = new MemoryBudget({ maxSharedBytes: 100, maxConnectionBytes: 150, guaranteedBytes: 30 });
    const [idle, busy] = [budget.share(), budget.share()];
    const freed: string[] = [];
    idle.close(() => freed.push('idle'));
    expect(freed).toEqual(['idle']);
    expect(busy.reserve(50)).toBe(true);
    busy.release(20);
    busy.close(() => freed.push('busy'));
    expect(busy.reserve(1)).toBe(false);
    busy.release(29);
    expect(freed).toEqual(['idle']);
    busy.release(1);
    busy.release(0);
    expect([freed, budget.bytes]).toEqual([['idle', 'busy'], 0]);
  });

  it('counts what was reserved and not released, in any order', () => {
    const step = fc.record({
      who: fc.nat({ max: 3 }),
      bytes: fc.nat({ max: 60 }),
      isRelease: fc.boolean(),
    });
    const shared = (share: number): number => Math.max(0, share - 25);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const budget = new MemoryBudget({ maxSharedBytes: 120, maxConnectionBytes: 90, guaranteedBytes: 25 });
        const shares = [budget.share(), budget.share(), budget.share(), budget.share()];
        const reserved = [0, 0, 0, 0];
        for (const { who, bytes, isRelease } of steps) {
          const before = reserved[who] ?? 0;
          const others = reserved.reduce((sum, each, index) => sum + (index === who ? 0 : shared(each)), 0);
          const fits =
            before + bytes <= 90 && (before + bytes <= 25 || others + shared(before + bytes) <= 120);
          const released = isRelease ? Math.min(bytes, before) : 0;
          if (isRelease) shares[who]?.release(released);
          expect(isRelease || shares[who]?.reserve(bytes) === fits).toBe(true);
          reserved[who] = before - released + (!isRelease && fits ? bytes : 0);
          expect(shares.map((share) => share.bytes)).toEqual(reserved);
          expect(budget.bytes).toBe(reserved.reduce((sum, each) => sum + shared(each), 0));
        }
      }),
    );
  });
});
