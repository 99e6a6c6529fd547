import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { isLoopback, listen, type Address } from './address.ts';
import type { Part } from './lifecycle.ts';
import type { Log } from './log.ts';
import type { Registry } from './metrics.ts';
import { build } from './version.ts';

/** The answer of `/readyz`: whether to send traffic, and the state of each part. */
export type Readiness = { ready: boolean; parts: Record<string, unknown> };

export type AdminOptions = {
  address: Address;
  registry: Registry;
  log: Log;
  readiness(): Readiness;
  /** Answered to loopback only. */
  status(): Record<string, unknown>;
};

/** The server for probes, metrics and status. Plain HTTP, GET and HEAD only, without request bodies. */
export function createAdminServer(options: AdminOptions): Part {
  const { log, registry } = options;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return send(response, 405, { error: 'method_not_allowed' });
    const path = request.url?.split('?', 1)[0];
    switch (path) {
      case '/livez':
        return send(response, 200, { status: 'ok' });
      case '/readyz': {
        const readiness = options.readiness();
        return send(response, readiness.ready ? 200 : 503, readiness);
      }
      case '/metrics': {
        const text = await registry.metrics();
        response.writeHead(200, { 'content-type': registry.contentType }).end(text);
        return;
      }
      case '/status':
        if (!isLoopback(request.socket.remoteAddress)) return send(response, 403, { error: 'loopback_only' });
        return send(response, 200, { ...build, ...options.status() });
      default:
        return send(response, 404, { error: 'not_found' });
    }
  }

  const server = createServer(
    { requestTimeout: 5000, headersTimeout: 5000, maxHeaderSize: 8192 },
    (request, response) => {
      answer(request, response).catch((thrown: unknown) => {
        log.error('admin request failed', { err: thrown });
        if (!response.headersSent) send(response, 500, { error: 'internal' });
      });
    },
  );
  server.maxConnections = 256;

  return {
    name: 'admin',
    start: () => listen(server, options.address, 'admin'),
    stop: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      server.closeAllConnections();
      await promise;
    },
  };
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(`${JSON.stringify(body)}\n`);
}
