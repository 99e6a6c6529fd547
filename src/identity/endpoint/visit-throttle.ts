import { networkOf } from '../../runtime/network.ts';
import { createBuckets, type ThrottleLimit } from '../account/login-throttle.ts';
import type { Clock } from '../../runtime/clock.ts';

export type VisitThrottleOptions = {
  clock: Clock;
  /** Logins begun from an address (IPv6: one /64). Default: 300 at once, then five a second. */
  begun?: ThrottleLimit;
  /** Device codes entered. Default: 20 at once, then one every 5 s. */
  codes?: ThrottleLimit;
};

/**
 * Limits how many rows a visitor can add to the database, and how many device codes they can try. In memory,
 * per replica.
 */
export type VisitThrottle = {
  /** @returns how long to wait; 0: no wait */
  take(kind: 'begun' | 'codes', address: string): number;
};

const maxEntries = 20_000;

export function createVisitThrottle({
  clock,
  begun = { burst: 300, refillEveryMs: 200 },
  codes = { burst: 20, refillEveryMs: 5000 },
}: VisitThrottleOptions): VisitThrottle {
  const buckets = {
    begun: createBuckets(begun, maxEntries, clock),
    codes: createBuckets(codes, maxEntries, clock),
  };
  return {
    take: (kind, address) => {
      const network = networkOf(address);
      const waitMs = buckets[kind].waitMs(network);
      if (waitMs === 0) buckets[kind].add(network, -1);
      return waitMs;
    },
  };
}
