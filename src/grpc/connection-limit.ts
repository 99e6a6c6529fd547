/** What the limit needs to know of a connection. */
export type LimitedConnection = {
  readonly openStreams: number;
  /** Larger for a connection that became idle later. A new one is idle from the start. */
  readonly idleSince: number;
  readonly share: { readonly bytes: number };
  /** Sends GOAWAY. The connection ends after its last response. */
  drain(): void;
  destroy(): void;
};

export type ConnectionBounds = {
  readonly maxConnections: number;
  /**
   * Connections that are draining, or have ended with their socket still open. Beyond it, the oldest is
   * destroyed.
   */
  readonly maxLeaving: number;
};

/** Where the memory of a connection below HTTP/2 is counted. */
export type ConnectionMemory = {
  /** @returns false, and counts nothing, if there is no room */
  take(): boolean;
  giveBack(): void;
};

/** For connections without TLS, which take next to nothing. */
export const uncountedMemory: ConnectionMemory = { take: () => true, giveBack: () => {} };

/**
 * Limits the connections of a listener. At the limit a new connection takes the place of the one that has
 * been idle for the longest, so idle clients cannot lock out a proxy. A connection with an open request keeps
 * its place. Cost: nothing per request; a pass over all connections for a new one at the limit.
 */
export class ConnectionLimit<Connection extends LimitedConnection> {
  readonly #bounds: ConnectionBounds;
  readonly #memory: ConnectionMemory;
  /**
   * Open connections, and ended ones for which memory is still held. The value: whether it was taken from
   * `#memory`.
   */
  readonly #held = new Map<Connection, boolean>();
  /** In the order in which they began to leave. */
  readonly #leaving = new Set<Connection>();

  constructor(bounds: ConnectionBounds, memory: ConnectionMemory) {
    this.#bounds = bounds;
    this.#memory = memory;
  }

  /** Makes room for one more connection. @returns `evicted` when another one was drained for it */
  admit(): 'free' | 'evicted' | 'full' {
    if (this.#held.size < this.#bounds.maxConnections && this.#memory.take()) return 'free';
    const idle = this.#longestIdle();
    if (idle === undefined || !this.#makeLeavingRoom()) return 'full';
    this.#remove(idle);
    this.#leaving.add(idle);
    idle.drain();
    return this.#memory.take() ? 'evicted' : 'full';
  }

  /** Registers a connection that was admitted. */
  add(connection: Connection): void {
    this.#held.set(connection, true);
  }

  /** The connection has ended. Its socket may be open. */
  ended(connection: Connection, isSocketOpen: boolean): void {
    // One that was draining may have accepted requests meanwhile.
    if (connection.share.bytes > 0 && !this.#held.has(connection)) this.#held.set(connection, false);
    if (!isSocketOpen || this.#leaving.has(connection)) return;
    this.#makeLeavingRoom();
    this.#leaving.add(connection);
  }

  /** The connection has ended and its requests hold no memory any more. */
  freed(connection: Connection): void {
    this.#remove(connection);
  }

  socketClosed(connection: Connection): void {
    this.#leaving.delete(connection);
  }

  #remove(connection: Connection): void {
    if (this.#held.get(connection) === true) this.#memory.giveBack();
    this.#held.delete(connection);
  }

  #longestIdle(): Connection | undefined {
    let longest: Connection | undefined;
    for (const connection of this.#held.keys()) {
      const isIdle = connection.openStreams === 0 && connection.share.bytes === 0;
      if (isIdle && (longest === undefined || connection.idleSince < longest.idleSince)) longest = connection;
    }
    return longest;
  }

  #makeLeavingRoom(): boolean {
    if (this.#leaving.size < this.#bounds.maxLeaving) return true;
    for (const connection of this.#leaving) {
      if (connection.openStreams > 0) continue;
      this.#leaving.delete(connection);
      connection.destroy();
      return true;
    }
    return false;
  }
}
