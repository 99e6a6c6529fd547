/** Networks that recently sent authentic deliveries, for each receiver. Per replica and in memory. */
export type KnownSources = {
  has(path: string, network: string): boolean;
  /** Records that the network sent an authentic delivery. */
  add(path: string, network: string): void;
  /**
   * Whether a request that was dropped unread may have been an authentic delivery. It was not, if its network
   * used a large share of the limit and the receiver has known sources, none of which is this network.
   * @param share the share of the limit that the network used: 0 to 1
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
