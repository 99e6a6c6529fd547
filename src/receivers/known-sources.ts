/** Networks from which authentic deliveries came, for each receiver. In memory and per replica. */
export type KnownSources = {
  has(path: string, network: string): boolean;
  /** An authentic delivery came from there. */
  add(path: string, network: string): void;
  /**
   * Whether a request that was turned away unread may have been an authentic delivery. It may, unless it came from a
   * stranger's flood: its network used much of what there is, and the receiver's sender is known elsewhere.
   * @param share the part of the whole that the network used: 0 to 1
   */
  mayBeAuthentic(path: string, network: string, share: number): boolean;
};

/** Providers send from several addresses. */
const maxNetworks = 64;
const floodShare = 1 / 8;

export function createKnownSources(): KnownSources {
  // Insertion order is the order of last use.
  const byPath = new Map<string, Set<string>>();
  return {
    has: (path, network) => byPath.get(path)?.has(network) === true,
    add: (path, network) => {
      const networks = byPath.get(path) ?? new Set();
      byPath.set(path, networks);
      networks.delete(network);
      networks.add(network);
      const [oldest] = networks;
      if (networks.size > maxNetworks && oldest !== undefined) networks.delete(oldest);
    },
    mayBeAuthentic: (path, network, share) => {
      const networks = byPath.get(path);
      return share < floodShare || networks === undefined || networks.has(network);
    },
  };
}
