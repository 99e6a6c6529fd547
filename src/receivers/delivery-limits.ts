import { createFairShare, type FairShare } from '../runtime/fair-share.ts';

/** The network that sent a delivery. */
export type DeliverySource = {
  readonly network: string;
  /** It recently sent an authentic delivery to the same receiver. */
  readonly isKnown: boolean;
};

/** The resources that one delivery may use before it is known to be authentic. */
export type Allowance = {
  /**
   * Verifies a signature with a slow algorithm, within the concurrency limit.
   * @returns undefined if the delivery was dropped instead
   */
  verify(work: () => boolean | Promise<boolean>): Promise<boolean | undefined>;
  /**
   * Waits for newer keys.
   * @returns undefined if the delivery was dropped instead
   */
  hold<Outcome>(wait: (signal: AbortSignal) => Promise<Outcome>): Promise<Outcome | undefined>;
};

export type DeliveryLimits = {
  /** The memory of bodies that are being read, in units of `unitBytes`. */
  readonly bodies: FairShare;
  /**
   * @param dropped called if the delivery is dropped, with the share of the limit that its network used: 0 to
   * 1
   */
  allow(source: DeliverySource, bytes: number, dropped: (share: number) => void): Allowance;
};

export type DeliveryLimitsOptions = {
  /** Units for bodies that are being read. Default 1024. */
  readonly reading?: number;
  /** Units for deliveries that wait for the verification of a slow signature. Default 1024. */
  readonly verifying?: number;
  /** Units for deliveries that wait for newer keys. Default 4096. */
  readonly holding?: number;
  /** Slow signatures that are verified at the same time. Default 2, of the four threads in Node's pool. */
  readonly concurrency?: number;
};

/** The size of one unit. A delivery uses at least one. */
const unitBytes = 16 * 1024;
/** The size of one unit of deliveries that wait for keys. They wait longer, and they are small. */
const heldUnitBytes = 4 * 1024;
/** The share of each limit that is reserved for known sources. */
const reserved = 1 / 4;

export const unitsOf = (bytes: number, unit = unitBytes): number => 1 + Math.floor(bytes / unit);

/**
 * Limits reading, verifying and waiting for keys separately, so that none can use up the room of another.
 * When a limit is reached, the network that uses most of it loses a delivery. The limits are per replica and
 * in memory.
 */
export function createDeliveryLimits(options: DeliveryLimitsOptions = {}): DeliveryLimits {
  const { reading = 1024, verifying = 1024, holding = 4096, concurrency = 2 } = options;
  const shareOf = (limit: number): FairShare => createFairShare({ limit, reserve: limit * reserved });
  const limitConcurrency = createConcurrencyLimit(shareOf(verifying), concurrency);
  const held = shareOf(holding);
  return {
    bodies: shareOf(reading),
    allow: ({ network, isKnown }, bytes, dropped) => {
      const claim = { owner: network, isReserved: isKnown };
      return {
        verify: (work) => limitConcurrency({ ...claim, units: unitsOf(bytes), evicted: dropped }, work),
        hold: async (wait) => {
          const end = new AbortController();
          const evicted = (share: number): void => {
            dropped(share);
            end.abort();
          };
          const place = held.enter({ ...claim, units: unitsOf(bytes, heldUnitBytes), evicted });
          try {
            const outcome = await wait(end.signal);
            return end.signal.aborted ? undefined : outcome;
          } finally {
            place.leave();
          }
        },
      };
    },
  };
}

type ConcurrencyLimit = (
  claim: Parameters<FairShare['enter']>[0],
  work: () => boolean | Promise<boolean>,
) => Promise<boolean | undefined>;

/** Runs at most `concurrency` pieces of work at the same time, in the order in which they arrived. */
function createConcurrencyLimit(share: FairShare, concurrency: number): ConcurrencyLimit {
  const waiting = new Set<(hasStarted: boolean) => void>();
  let running = 0;

  async function start(claim: Parameters<FairShare['enter']>[0]): Promise<boolean> {
    if (running < concurrency) {
      running += 1;
      return true;
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    waiting.add(resolve);
    const evicted = (used: number): void => {
      waiting.delete(resolve);
      claim.evicted(used);
      resolve(false);
    };
    const place = share.enter({ ...claim, evicted });
    const hasStarted = await promise;
    place.leave();
    return hasStarted;
  }

  function startNext(): void {
    const [next] = waiting;
    if (next === undefined) {
      running -= 1;
      return;
    }
    waiting.delete(next);
    next(true);
  }

  return async (claim, work) => {
    if (!(await start(claim))) return undefined;
    try {
      return await work();
    } finally {
      startNext();
    }
  };
}
