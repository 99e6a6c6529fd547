import { createFairShare, type FairShare } from '../runtime/fair-share.ts';

/** Where a delivery came from. */
export type DeliverySource = {
  readonly network: string;
  /** An authentic delivery to the same receiver came from there lately. */
  readonly isKnown: boolean;
};

/** What one delivery may use up before it is known to be authentic. */
export type Allowance = {
  /**
   * Verifies a signature by a slow algorithm when its turn comes.
   * @returns undefined when the delivery was turned away instead
   */
  verify(work: () => boolean | Promise<boolean>): Promise<boolean | undefined>;
  /**
   * Waits for newer keys.
   * @returns undefined when the delivery was turned away instead
   */
  hold<Outcome>(wait: (signal: AbortSignal) => Promise<Outcome>): Promise<Outcome | undefined>;
};

export type DeliveryLimits = {
  /** Bodies that are being read. Units of `unitBytes`. */
  readonly bodies: FairShare;
  /** @param dropped called when the delivery loses its place, with the part of the whole that its network used */
  allow(source: DeliverySource, bytes: number, dropped: (share: number) => void): Allowance;
};

export type DeliveryLimitsOptions = {
  /** Units that bodies may use while they are read. Default 1024. */
  readonly reading?: number;
  /** Units that deliveries may use while they wait for a slow signature's turn. Default 1024. */
  readonly verifying?: number;
  /** Units that deliveries may use while they wait for newer keys. Default 4096. */
  readonly holding?: number;
  /** Slow signatures verified at a time. Default 2: they run in Node's pool of four threads. */
  readonly concurrency?: number;
};

/** The memory that one unit stands for. A delivery uses at least one. */
export const unitBytes = 16 * 1024;
/** Deliveries that wait for keys wait longer, and are small. */
const heldUnitBytes = 4 * 1024;
/** The part of each limit that is kept for sources of authentic deliveries. */
const reserved = 1 / 4;

export const unitsOf = (bytes: number, unit = unitBytes): number => 1 + Math.floor(bytes / unit);

/**
 * Bounds reading, verifying and waiting for keys apart, so that one can't use up the room of another. In each the network
 * that uses most loses first. In memory and per replica.
 */
export function createDeliveryLimits(options: DeliveryLimitsOptions = {}): DeliveryLimits {
  const { reading = 1024, verifying = 1024, holding = 4096, concurrency = 2 } = options;
  const shareOf = (limit: number): FairShare => createFairShare({ limit, reserve: limit * reserved });
  const turns = createTurns(shareOf(verifying), concurrency);
  const held = shareOf(holding);
  return {
    bodies: shareOf(reading),
    allow: ({ network, isKnown }, bytes, dropped) => {
      const claim = { owner: network, isReserved: isKnown };
      return {
        verify: (work) => turns({ ...claim, units: unitsOf(bytes), evicted: dropped }, work),
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

type Turns = (
  claim: Parameters<FairShare['enter']>[0],
  work: () => boolean | Promise<boolean>,
) => Promise<boolean | undefined>;

/** Does so many at a time, in the order in which they came. */
function createTurns(share: FairShare, concurrency: number): Turns {
  const waiting = new Set<(hasTurn: boolean) => void>();
  let running = 0;

  async function turn(claim: Parameters<FairShare['enter']>[0]): Promise<boolean> {
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
    const hasTurn = await promise;
    place.leave();
    return hasTurn;
  }

  function pass(): void {
    const [next] = waiting;
    if (next === undefined) {
      running -= 1;
      return;
    }
    waiting.delete(next);
    next(true);
  }

  return async (claim, work) => {
    if (!(await turn(claim))) return undefined;
    try {
      return await work();
    } finally {
      pass();
    }
  };
}
