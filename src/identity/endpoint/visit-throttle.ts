import { networkOf } from '../../runtime/network.ts';
import { createBuckets } from '../account/login-throttle.ts';
import type { Clock } from '../../runtime/clock.ts';

export type VisitThrottleOptions = {
  clock: Clock;
  /** Log-ins begun from an address (of IPv6, a /64). Default: 300 at once, then five a second. */
  begun?: { burst: number; refillEveryMs: number };
  /** Codes of devices typed in. Default: 20 at once, then one every 5 s. */
  codes?: { burst: number; refillEveryMs: number };
};

/** Bounds what a visitor can make the database keep, and how many codes one can try. In memory, per replica. */
export type VisitThrottle = {
  /** @returns how long to wait; 0: go ahead */
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
