import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { acceptWaiting } from './address.ts';

/** Closes an HTTP/1.1 server without losing a request that it has received. */
export type HttpDrain = {
  /**
   * Answers with `Connection: close` first, so that clients send their next request elsewhere; a connection
   * that was used before gets half a second for that. Then closes the port and finishes the requests that
   * were received.
   * @param lastRequestsMs time after the port has closed for a request to arrive and be answered; ms
   */
  close(lastRequestsMs: number): Promise<void>;
};

type Connection = {
  /** Responses to requests that are not answered yet. */
  readonly pending: Set<ServerResponse>;
  wasUsed: boolean;
  /** A response on it said `Connection: close`. */
  wasAskedToClose: boolean;
  /** It was idle at the last look after the port had closed. */
  wasIdle: boolean;
};

const askingMs = 500;
const lookEveryMs = 20;

/** Call it before the server's own `connection` and `request` listeners may send a head. */
export function createHttpDrain(server: Server | SecureServer): HttpDrain {
  const open = new Map<Socket, Connection>();
  let isDraining = false;

  function askToClose(connection: Connection, response: ServerResponse): void {
    if (response.headersSent) return;
    response.setHeader('connection', 'close');
    connection.wasAskedToClose = true;
  }

  server.on('setSecureContext' in server ? 'secureConnection' : 'connection', (socket: Socket) => {
    open.set(socket, { pending: new Set(), wasUsed: false, wasAskedToClose: false, wasIdle: false });
    socket.once('close', () => open.delete(socket));
  });
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const connection = open.get(socket);
    if (connection === undefined) return;
    connection.wasUsed = true;
    connection.pending.add(response);
    response.once('close', () => connection.pending.delete(response));
    if (isDraining) askToClose(connection, response);
  });

  async function askAllToClose(): Promise<void> {
    isDraining = true;
    for (const connection of open.values())
      for (const response of connection.pending) askToClose(connection, response);
    const isOneLeft = (): boolean =>
      [...open.values()].some(({ wasUsed, wasAskedToClose }) => wasUsed && !wasAskedToClose);
    for (let waitedMs = 0; waitedMs < askingMs && isOneLeft(); waitedMs += lookEveryMs)
      await delay(lookEveryMs);
  }

  /**
   * `server.closeIdleConnections` leaves out connections that have sent nothing or half a head. A connection
   * has to be idle at two looks in a row, because the request that has already arrived is read between them.
   */
  function closeIdle(): void {
    for (const [socket, connection] of open) {
      const isIdle = connection.pending.size === 0;
      if (isIdle && connection.wasIdle) socket.destroy();
      connection.wasIdle = isIdle;
    }
  }

  return {
    close: async (lastRequestsMs) => {
      await askAllToClose();
      await acceptWaiting(server);
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      // A closed server has no time limits any more.
      const sweep = setInterval(closeIdle, lookEveryMs);
      const deadline = setTimeout(() => server.closeAllConnections(), lastRequestsMs);
      await promise;
      clearInterval(sweep);
      clearTimeout(deadline);
    },
  };
}
