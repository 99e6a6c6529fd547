import type { Clock } from '../../runtime/clock.ts';
import { networkOf } from '../../runtime/network.ts';

/** A bucket of attempts: so many at once, then one every `refillEveryMs`. */
export type ThrottleLimit = { burst: number; refillEveryMs: number };

export type LoginThrottleOptions = {
  clock: Clock;
  /** Per account name, known or not. Default: 10 at once, then one every 30 s. */
  perAccount?: ThrottleLimit;
  /** Per client address. Default: 50 at once, then one every 6 s. */
  perAddress?: ThrottleLimit;
  /** Most names and addresses remembered, each; the ones unused for longest are forgotten. Default 20,000. */
  maxEntries?: number;
};

export type LoginThrottle = {
  /**
   * Takes an attempt before it is made, so that parallel ones count too.
   * @returns how long to wait; 0: go ahead
   */
  take(username: string, address: string): number;
  /** Gives the attempt back: it was a good one. */
  giveBack(username: string, address: string): void;
};

/** Slows down guessing. In memory and per replica. */
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

/** Buckets by key, the ones unused for longest forgotten. */
export function createBuckets({ burst, refillEveryMs }: ThrottleLimit, maxEntries: number, clock: Clock) {
  // Insertion order is the order of last use.
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
