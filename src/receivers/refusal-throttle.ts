import type { Clock } from '../runtime/clock.ts';

export type RefusalThrottle = {
  /** @returns how long an address has to wait; 0 if it is below the limit */
  waitMs(address: string): number;
  /** Counts a refusal. */
  refused(address: string): void;
};

type Bucket = { level: number; atMs: number };

const maxAddresses = 10_000;

/**
 * Rate limit for refused deliveries of an address; authentic deliveries don't count. Per replica and in
 * memory.
 * @param limit burst size, and the time in which one more is allowed. Default: 100, then one per second
 */
export function createRefusalThrottle(
  clock: Pick<Clock, 'monotonicMs'>,
  limit: { readonly burst: number; readonly refillEveryMs: number } = { burst: 100, refillEveryMs: 1000 },
): RefusalThrottle {
  const { burst, refillEveryMs } = limit;
  // Insertion order is the order of last use.
  const buckets = new Map<string, Bucket>();

  function levelOf(address: string): number {
    const bucket = buckets.get(address);
    if (bucket === undefined) return burst;
    return Math.min(burst, bucket.level + (clock.monotonicMs() - bucket.atMs) / refillEveryMs);
  }

  function refused(address: string): void {
    const level = Math.max(0, levelOf(address) - 1);
    buckets.delete(address);
    buckets.set(address, { level, atMs: clock.monotonicMs() });
    if (buckets.size <= maxAddresses) return;
    for (const oldest of buckets.keys()) {
      buckets.delete(oldest);
      break;
    }
  }

  return {
    waitMs: (address) => {
      const missing = 1 - levelOf(address);
      return missing <= 0 ? 0 : Math.ceil(missing * refillEveryMs);
    },
    refused,
  };
}
