import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Strikes } from '../../src/http2/rate-limit.ts';

/** Strikes by a clock that stands still until it is told. */
function counted(options: { most: number; perSecond: number }) {
  let clockMs = 1_000_000;
  const strikes = new Strikes({ ...options, nowMs: () => clockMs });
  return {
    pass: (ms: number) => void (clockMs += ms),
    take: () => strikes.take(),
    /** How many of so many are taken at once. */
    burst: (tries: number) => Array.from({ length: tries }, () => strikes.take()).filter(Boolean).length,
  };
}

describe('strikes', () => {
  it('are so many at once, and one more is one too many', () => {
    const { take } = counted({ most: 3, perSecond: 10 });
    expect([take(), take(), take(), take(), take()]).toEqual([true, true, true, false, false]);
  });

  it('come back at their rate, in parts too', () => {
    const { burst, pass } = counted({ most: 5, perSecond: 2 });
    burst(6);
    pass(499);
    expect(burst(3)).toBe(0);
    pass(1);
    expect(burst(3)).toBe(1);
    pass(1000);
    expect(burst(10)).toBe(2);
  });

  it('come back while some are left', () => {
    const { burst, pass } = counted({ most: 5, perSecond: 1 });
    expect(burst(3)).toBe(3);
    pass(2000);
    expect(burst(10)).toBe(4);
  });

  it('come back up to what they were', () => {
    const { burst, pass } = counted({ most: 5, perSecond: 10 });
    expect(burst(10)).toBe(5);
    pass(3_600_000);
    expect(burst(10)).toBe(5);
  });

  it('are not saved by one who has sent nothing for long', () => {
    const { burst, pass } = counted({ most: 5, perSecond: 10 });
    pass(3_600_000);
    expect(burst(20)).toBe(5);
  });

  it('are never none for one who keeps to the rate', () => {
    const { take, pass } = counted({ most: 1, perSecond: 4 });
    for (let round = 0; round < 1000; round += 1) {
      expect(take()).toBe(true);
      pass(250);
    }
  });

  it('are within any time no more than at once and by the rate together', () => {
    const steps = fc.array(fc.record({ waitMs: fc.nat({ max: 3000 }), tries: fc.nat({ max: 30 }) }));
    const options = fc.record({
      most: fc.integer({ min: 1, max: 20 }),
      perSecond: fc.integer({ min: 1, max: 50 }),
    });
    fc.assert(
      fc.property(options, steps, (options, steps) => {
        const { burst, pass } = counted(options);
        // A bucket by the book: filled at the rate, never above what it holds.
        let left = options.most;
        for (const { waitMs, tries } of steps) {
          pass(waitMs);
          left = Math.min(options.most, left + (waitMs * options.perSecond) / 1000);
          const taken = burst(tries);
          expect(taken).toBeLessThanOrEqual(left + 1e-6);
          expect(taken).toBeGreaterThanOrEqual(Math.min(tries, Math.floor(left - 1e-6)));
          left -= taken;
        }
      }),
      { numRuns: 1000 },
    );
  });
});
