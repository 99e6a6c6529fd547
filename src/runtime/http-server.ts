import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { listen, type Address } from './address.ts';
import { watchConnections } from './connections.ts';
import type { Part } from './lifecycle.ts';
import type { Log } from './log.ts';

export type HttpServerOptions = {
  address: Address;
  handler(request: IncomingMessage, response: ServerResponse): Promise<void>;
  log: Log;
  /** How long after the stop a request may still be coming in or be answered; ms. Default 5 s. */
  lastRequestsMs?: number;
};

const requestTimeoutMs = 10_000;
const headersTimeoutMs = 5000;
const keepAliveTimeoutMs = 30_000;
const maxHeaderBytes = 16 * 1024;
const maxConnections = 2000;
const sweepMs = 20;

/** The public listener: every size and time of a request is bounded. On stop it waits for what it has begun. */
export function createHttpServer({ address, handler, log, lastRequestsMs = 5000 }: HttpServerOptions): Part {
  const working = new Set<Promise<void>>();
  const server = createServer(
    {
      requestTimeout: requestTimeoutMs,
      headersTimeout: headersTimeoutMs,
      keepAliveTimeout: keepAliveTimeoutMs,
      maxHeaderSize: maxHeaderBytes,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => {
      const work = answer(request, response);
      working.add(work);
      void work.finally(() => working.delete(work));
    },
  );
  server.maxConnections = maxConnections;
  server.maxRequestsPerSocket = 1000;
  const connections = watchConnections(server);
  server.on('clientError', (_, socket: Duplex) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n');
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await handler(request, response);
    } catch (thrown) {
      if (thrown === request.errored) {
        log.debug('request broken off', { err: thrown });
        return;
      }
      log.error('request failed', { err: thrown });
      if (response.headersSent) response.destroy();
      else response.writeHead(500, { 'content-type': 'text/plain' }).end('internal error\n');
    }
  }

  return {
    name: 'http',
    start: () => listen(server, address, 'listen'),
    stop: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      // A closed server has no time limits any more.
      const sweep = setInterval(() => connections.closeIdle(), sweepMs);
      const deadline = setTimeout(() => server.closeAllConnections(), lastRequestsMs);
      await promise;
      clearInterval(sweep);
      clearTimeout(deadline);
      // A request whose client hung up has no connection any more, and goes on all the same.
      await Promise.all(working);
    },
  };
}
