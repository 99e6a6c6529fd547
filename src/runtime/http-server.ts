import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { listen, type Address } from './address.ts';
import { systemClock } from './clock.ts';
import { watchConnections, type CrowdedOut } from './connections.ts';
import { databaseRetrySeconds, isDatabaseUnavailable } from './fault.ts';
import { createHttpDrain } from './http-drain.ts';
import type { Part } from './lifecycle.ts';
import type { Log } from './log.ts';

export type HttpServerOptions = {
  address: Address;
  handler(request: IncomingMessage, response: ServerResponse): Promise<void>;
  log: Log;
  /** Time after the port has closed for a request to arrive and be answered; ms. Default 5 s. */
  lastRequestsMs?: number;
  /** The maximum number of connections. Beyond it, a new connection replaces another. Default: 2000. */
  maxConnections?: number;
  /** Called for each connection that was closed to make room for a newer one. */
  crowdedOut?(connection: CrowdedOut): void;
};

const limits = {
  requestTimeout: 10_000,
  headersTimeout: 5000,
  keepAliveTimeout: 30_000,
  maxHeaderSize: 16 * 1024,
  connectionsCheckingInterval: 1000,
};
const defaultMaxConnections = 2000;
/**
 * Node may accept so many connections in one turn of the event loop, before those they replace are closed.
 */
const acceptedAtOnce = 1000;

/**
 * The public HTTP listener. Each request is bounded in size and time. `stop` loses no request that was
 * received.
 */
export function createHttpServer(options: HttpServerOptions): Part {
  const { address, handler, log, lastRequestsMs = 5000, maxConnections = defaultMaxConnections } = options;
  const working = new Set<Promise<void>>();
  const server = createServer(limits);
  server.maxConnections = maxConnections + acceptedAtOnce;
  server.maxRequestsPerSocket = 1000;
  const drain = createHttpDrain(server);
  watchConnections(server, {
    limit: maxConnections,
    clock: systemClock,
    crowdedOut: (connection) => options.crowdedOut?.(connection),
  });
  // Registered after `watchConnections`, which closes connections with too many unanswered requests.
  server.on('request', (request, response) => {
    if (request.socket.destroyed) return;
    const work = answer(request, response);
    working.add(work);
    void work.finally(() => working.delete(work));
  });
  server.on('clientError', refuseBroken);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await handler(request, response);
    } catch (thrown) {
      if (thrown === request.errored) {
        log.debug('request aborted', { err: thrown });
        return;
      }
      log[isDatabaseUnavailable(thrown) ? 'debug' : 'error']('request failed', { err: thrown });
      if (response.headersSent) response.destroy();
      else answerFault(response, thrown);
    }
  }

  return {
    name: 'http',
    start: () => listen(server, address, 'listen'),
    stop: async () => {
      await drain.close(lastRequestsMs);
      // The handler of a request goes on after its client has disconnected.
      await Promise.all(working);
    },
  };
}

function refuseBroken(thrown: Error & { readonly code?: string }, socket: Duplex): void {
  if (!socket.writable) return;
  const status = thrown.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? '408 Request Timeout' : '400 Bad Request';
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\n\r\n`);
}

function answerFault(response: ServerResponse, thrown: unknown): void {
  if (isDatabaseUnavailable(thrown)) {
    response
      .writeHead(503, {
        'content-type': 'text/plain',
        'cache-control': 'no-store',
        'retry-after': String(databaseRetrySeconds),
      })
      .end('unavailable at present\n');
    return;
  }
  response.writeHead(500, { 'content-type': 'text/plain' }).end('internal error\n');
}
