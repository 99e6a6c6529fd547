/** A part of a bounded resource that a claim uses. */
export type Place = {
  /** Changes how much of the resource it uses. */
  resize(units: number): void;
  /** Makes it its owner's newest place. The oldest is evicted first. */
  renew(): void;
  /** Gives it back. Does nothing for a place that was evicted. */
  leave(): void;
};

export type Claim = {
  /** The resource is shared among owners, such as the networks of clients. */
  readonly owner: string;
  readonly units: number;
  /** Evicted last, as long as all such claims together fit into the reserve. Default: false. */
  readonly isReserved?: boolean;
  /**
   * Called once when the place is taken away, possibly before `enter` returns.
   * @param share the part of the whole that its owner used: 0 to 1
   */
  evicted(share: number): void;
};

export type FairShare = {
  /** Never refuses: when the resource is exhausted, the owner that uses most loses its oldest place. */
  enter(claim: Claim): Place;
};

type Held = Omit<Claim, 'units'> & { units: number };
type Group = { readonly key: string; readonly isReserved: boolean; readonly held: Set<Held>; units: number };

/**
 * Shares a bounded resource among owners. A new claim always finds room, at the expense of the owner that
 * uses most: a flood evicts itself, while a client that needs its place for a moment keeps it.
 * Cost: one step per owner for each eviction, else constant. Memory: one entry per place.
 * @param options.limit units in use at most
 * @param options.reserve units that other claims can't take from reserved ones; below the limit. Default: 0
 */
export function createFairShare(options: { readonly limit: number; readonly reserve?: number }): FairShare {
  const { limit, reserve = 0 } = options;
  const usage = createUsage();

  function evictToLimit(): void {
    for (let excess = usage.total() > limit; excess; excess = usage.total() > limit) {
      const group = usage.largest(reserve);
      const [oldest] = group?.held ?? [];
      if (group === undefined || oldest === undefined) return;
      const share = Math.min(1, group.units / limit);
      usage.remove(group, oldest);
      oldest.evicted(share);
    }
  }

  return {
    enter: (claim) => {
      const held: Held = { ...claim };
      const group = usage.add(held);
      evictToLimit();
      return {
        resize: (units) => {
          usage.resize(group, held, units);
          evictToLimit();
        },
        renew: () => {
          if (group.held.delete(held)) group.held.add(held);
        },
        leave: () => usage.remove(group, held),
      };
    },
  };
}

/** Counts the units that each owner uses. */
function createUsage() {
  const groups = new Map<string, Group>();
  let total = 0;
  let reserved = 0;

  function count(group: Group, units: number): void {
    total += units;
    group.units += units;
    if (group.isReserved) reserved += units;
  }

  return {
    total: () => total,
    add: (held: Held): Group => {
      const { owner, isReserved = false } = held;
      const key = `${isReserved ? 'reserved ' : ''}${owner}`;
      const group = groups.get(key) ?? { key, isReserved, held: new Set(), units: 0 };
      groups.set(key, group);
      group.held.add(held);
      count(group, held.units);
      return group;
    },
    resize: (group: Group, held: Held, units: number): void => {
      if (!group.held.has(held)) return;
      count(group, units - held.units);
      held.units = units;
    },
    remove: (group: Group, held: Held): void => {
      if (!group.held.delete(held)) return;
      count(group, -held.units);
      if (group.held.size === 0) groups.delete(group.key);
    },
    /**
     * The group that uses most.
     * @param reserve reserved groups are left out while they use no more than this together
     */
    largest: (reserve: number): Group | undefined => {
      let found: Group | undefined;
      for (const group of groups.values()) {
        if (group.isReserved && reserved <= reserve) continue;
        if (found === undefined || group.units > found.units) found = group;
      }
      return found;
    },
  };
}
