import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** The connections of a server. */
export type Connections = {
  /** Closes those on which no request is being answered. Node leaves out who has sent nothing or half a head. */
  closeIdle(): void;
};

export function watchConnections(server: Server): Connections {
  /** With the number of requests that aren't answered. */
  const open = new Map<Socket, number>();

  function change(socket: Socket, by: number): void {
    const requests = open.get(socket);
    // A request may end after its connection.
    if (requests !== undefined) open.set(socket, requests + by);
  }

  server.on('connection', (socket: Socket) => {
    open.set(socket, 0);
    socket.once('close', () => open.delete(socket));
  });
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    change(socket, 1);
    response.once('close', () => change(socket, -1));
  });
  return {
    closeIdle: () => {
      for (const [socket, requests] of open) if (requests === 0) socket.destroy();
    },
  };
}
