import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from './clock.ts';
import { createFairShare, type Place } from './fair-share.ts';
import { networkOf } from './network.ts';

/** A connection that was closed to make room for a newer one. */
export type CrowdedOut = {
  /** The address at its other end: a client's, or a proxy's. */
  readonly address: string;
  /** Time since it was opened, or since a request on it last began or ended; ms. */
  readonly silentMs: number;
  /** The share of the limit that its network used: 0 to 1. */
  readonly share: number;
};

export type ConnectionsOptions = {
  /**
   * The maximum number of connections. Beyond it, the network with the most connections loses the one that
   * has been silent for the longest time.
   */
  readonly limit: number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  crowdedOut(connection: CrowdedOut): void;
};

type Open = { readonly place: Place; requests: number; activeAtMs: number };

/**
 * The maximum number of unanswered requests on one connection. Node keeps pipelined requests in memory until
 * those before them are answered. Browsers and proxies don't pipeline.
 */
const maxUnanswered = 16;

/**
 * Limits the connections of a server and the requests that wait on each, and shares the limit among the
 * clients' networks.
 */
export function watchConnections(server: Server, options: ConnectionsOptions): void {
  const { limit, clock } = options;
  const share = createFairShare({ limit });
  const open = new Map<Socket, Open>();

  function change(socket: Socket, by: number): void {
    const connection = open.get(socket);
    // A request may end after its connection.
    if (connection === undefined) return;
    connection.requests += by;
    if (connection.requests > maxUnanswered) socket.destroy();
    connection.activeAtMs = clock.monotonicMs();
    connection.place.renew();
  }

  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? 'unknown';
    const place = share.enter({
      owner: networkOf(address),
      units: 1,
      evicted: (used) => {
        const silentMs = clock.monotonicMs() - (open.get(socket)?.activeAtMs ?? clock.monotonicMs());
        socket.destroy();
        options.crowdedOut({ address, silentMs, share: used });
      },
    });
    open.set(socket, { place, requests: 0, activeAtMs: clock.monotonicMs() });
    socket.once('close', () => {
      open.delete(socket);
      place.leave();
    });
  });
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    change(socket, 1);
    response.once('close', () => change(socket, -1));
  });
}
