import type { Clock } from '../../runtime/clock.ts';
import { networkOf } from '../../runtime/network.ts';

/** A token bucket: `burst` attempts at once, then one every `refillEveryMs`. */
export type ThrottleLimit = { burst: number; refillEveryMs: number };

export type LoginThrottleOptions = {
  clock: Clock;
  /** Per user name, whether or not it exists. Default: 10 at once, then one every 30 s. */
  perAccount?: ThrottleLimit;
  /** Per client address. Default: 50 at once, then one every 6 s. */
  perAddress?: ThrottleLimit;
  /**
   * Most user names, and most addresses, that are tracked; the least recently used are evicted. Default
   * 20,000.
   */
  maxEntries?: number;
};

export type LoginThrottle = {
  /**
   * Takes an attempt before it is made, so that concurrent attempts count, too.
   * @returns how long to wait; 0: no wait
   */
  take(username: string, address: string): number;
  /** Returns the attempt to the bucket, after a successful login. */
  giveBack(username: string, address: string): void;
};

/** Slows down password guessing. The state is in memory, per replica. */
export function createLoginThrottle({
  clock,
  perAccount = { burst: 10, refillEveryMs: 30_000 },
  perAddress = { burst: 50, refillEveryMs: 6000 },
  maxEntries = 20_000,
}: LoginThrottleOptions): LoginThrottle {
  const accounts = createBuckets(perAccount, maxEntries, clock);
  const addresses = createBuckets(perAddress, maxEntries, clock);
  return {
    take: (username, from) => {
      const address = networkOf(from);
      const waitMs = Math.max(accounts.waitMs(username), addresses.waitMs(address));
      if (waitMs > 0) return waitMs;
      accounts.add(username, -1);
      addresses.add(address, -1);
      return 0;
    },
    giveBack: (username, from) => {
      accounts.add(username, 1);
      addresses.add(networkOf(from), 1);
    },
  };
}

type Bucket = { level: number; atMs: number };

/** Token buckets by key; the least recently used are evicted. */
export function createBuckets({ burst, refillEveryMs }: ThrottleLimit, maxEntries: number, clock: Clock) {
  // In order of last use.
  const buckets = new Map<string, Bucket>();

  function levelOf(key: string): number {
    const bucket = buckets.get(key);
    if (bucket === undefined) return burst;
    return Math.min(burst, bucket.level + (clock.monotonicMs() - bucket.atMs) / refillEveryMs);
  }

  return {
    waitMs: (key: string): number => {
      const missing = 1 - levelOf(key);
      return missing <= 0 ? 0 : Math.ceil(missing * refillEveryMs);
    },
    add: (key: string, attempts: number): void => {
      const level = Math.min(burst, levelOf(key) + attempts);
      buckets.delete(key);
      if (level >= burst) return;
      buckets.set(key, { level, atMs: clock.monotonicMs() });
      if (buckets.size <= maxEntries) return;
      for (const oldest of buckets.keys()) {
        buckets.delete(oldest);
        break;
      }
    },
  };
}
