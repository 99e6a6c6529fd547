/** A connection as far as its place is concerned. */
export type PlacedConnection = {
  readonly openStreams: number;
  /** Larger for a connection that became idle later. A new one is idle from the start. */
  readonly idleSince: number;
  readonly share: { readonly bytes: number };
  /** Sends GOAWAY. The connection ends after its last answer. */
  drain(): void;
  destroy(): void;
};

export type PlaceBounds = {
  readonly maxConnections: number;
  /** Connections that were told to close, or have ended, while their sockets are open. Beyond it, the oldest is destroyed. */
  readonly maxLeaving: number;
};

/**
 * Bounds the connections of a listener. At the limit a newcomer takes the place of the connection that has been idle
 * for the longest, so idle clients cannot lock out a proxy. A connection with an open request keeps its place.
 * Cost: nothing per request; a look at every connection for a newcomer at the limit.
 */
export class ConnectionPlaces<Connection extends PlacedConnection> {
  readonly #bounds: PlaceBounds;
  /** Those that are open, and those that have ended but for which something is still kept. */
  readonly #held = new Set<Connection>();
  /** In the order in which they began to leave. */
  readonly #leaving = new Set<Connection>();

  constructor(bounds: PlaceBounds) {
    this.#bounds = bounds;
  }

  /** Makes room for one more connection. @returns `evicted` when another one was told to close for it */
  admit(): 'free' | 'evicted' | 'full' {
    if (this.#held.size < this.#bounds.maxConnections) return 'free';
    const idle = this.#longestIdle();
    if (idle === undefined || !this.#makeLeavingRoom()) return 'full';
    this.#held.delete(idle);
    this.#leaving.add(idle);
    idle.drain();
    return 'evicted';
  }

  /** Gives a place to a connection that was admitted. */
  add(connection: Connection): void {
    this.#held.add(connection);
  }

  /** The connection has ended, and its socket may be open. */
  ended(connection: Connection, isSocketOpen: boolean): void {
    // One that was told to close may have taken requests meanwhile.
    if (connection.share.bytes > 0) this.#held.add(connection);
    if (!isSocketOpen || this.#leaving.has(connection)) return;
    this.#makeLeavingRoom();
    this.#leaving.add(connection);
  }

  /** The connection has ended and nothing is kept for it. */
  freed(connection: Connection): void {
    this.#held.delete(connection);
  }

  socketClosed(connection: Connection): void {
    this.#leaving.delete(connection);
  }

  #longestIdle(): Connection | undefined {
    let longest: Connection | undefined;
    for (const connection of this.#held) {
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
