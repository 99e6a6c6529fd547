import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RateLimit, type RateLimitOptions } from '../../src/http2/rate-limit.ts';

/** A rate limit on a clock that moves only with `pass`. */
function limited(options: RateLimitOptions) {
  let clockMs = 1_000_000;
  const limit = new RateLimit(options, () => clockMs);
  return {
    pass: (ms: number) => void (clockMs += ms),
    take: () => limit.take(),
    /** Tries to take that many at once. @returns how many succeeded */
    takeMany: (tries: number) => Array.from({ length: tries }, () => limit.take()).filter(Boolean).length,
  };
}

describe('a rate limit', () => {
  it('allows a burst and refuses the next', () => {
    const { take } = limited({ burst: 3, perSecond: 10 });
    expect([take(), take(), take(), take(), take()]).toEqual([true, true, true, false, false]);
  });

  it('refills at its rate, counting fractions', () => {
    const { takeMany, pass } = limited({ burst: 5, perSecond: 2 });
    takeMany(6);
    pass(499);
    expect(takeMany(3)).toBe(0);
    pass(1);
    expect(takeMany(3)).toBe(1);
    pass(1000);
    expect(takeMany(10)).toBe(2);
  });

  it('refills while tokens are left', () => {
    const { takeMany, pass } = limited({ burst: 5, perSecond: 1 });
    expect(takeMany(3)).toBe(3);
    pass(2000);
    expect(takeMany(10)).toBe(4);
  });

  it('refills up to the burst and no further', () => {
    const { takeMany, pass } = limited({ burst: 5, perSecond: 10 });
    expect(takeMany(10)).toBe(5);
    pass(3_600_000);
    expect(takeMany(10)).toBe(5);
  });

  it('does not save up more than the burst before it is first used', () => {
    const { takeMany, pass } = limited({ burst: 5, perSecond: 10 });
    pass(3_600_000);
    expect(takeMany(20)).toBe(5);
  });

  it('never refuses a client that stays below the rate', () => {
    const { take, pass } = limited({ burst: 1, perSecond: 4 });
    for (let count = 0; count < 1000; count += 1) {
      expect(take()).toBe(true);
      pass(250);
    }
  });

  it('agrees with a token bucket by the book', () => {
    const steps = fc.array(fc.record({ waitMs: fc.nat({ max: 3000 }), tries: fc.nat({ max: 30 }) }));
    const anyOptions = fc.record({
      burst: fc.integer({ min: 1, max: 20 }),
      perSecond: fc.integer({ min: 1, max: 50 }),
    });
    fc.assert(
      fc.property(anyOptions, steps, (options, steps) => {
        const { takeMany, pass } = limited(options);
        let tokens = options.burst;
        for (const { waitMs, tries } of steps) {
          pass(waitMs);
          tokens = Math.min(options.burst, tokens + (waitMs * options.perSecond) / 1000);
          const taken = takeMany(tries);
          expect(taken).toBeLessThanOrEqual(tokens + 1e-6);
          expect(taken).toBeGreaterThanOrEqual(Math.min(tries, Math.floor(tokens - 1e-6)));
          tokens -= taken;
        }
      }),
      { numRuns: 1000 },
    );
  });
});
