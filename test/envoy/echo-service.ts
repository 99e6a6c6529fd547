import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';

/** What reached the service. */
export type Echo = {
  method: string;
  path: string;
  headers: Record<string, string>;
};

export type EchoService = { port: number; stop(): Promise<void> };

/**
 * A service that answers with the request it got, as JSON, over HTTP/1.1; upgraded connections get back what
 * they send.
 */
export async function startEchoService(): Promise<EchoService> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => answer(request, response));
  });
  server.on('upgrade', (request, socket) => {
    const { upgrade, 'x-auth-subject': subject } = request.headers;
    socket.on('error', () => {});
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${upgrade}\r\n\r\n`);
    socket.write(`hello ${[subject].flat().join(' and ')};`);
    socket.pipe(socket);
  });
  // A connection that is closed as idle may take with it a request that Envoy has just sent on it.
  server.keepAliveTimeout = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const echo: Echo = { method: request.method ?? '', path: request.url ?? '', headers: {} };
  for (const [name, value] of Object.entries(request.headers))
    echo.headers[name] = [value].flat().join(' | ');
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(echo));
}

/** The same over HTTP/2 without TLS; answers gRPC calls with the status OK. */
export async function startHttp2EchoService(): Promise<EchoService> {
  const server = createHttp2Server();
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    if (headers['content-type']?.startsWith('application/grpc') === true) {
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '0' },
        { endStream: true },
      );
      return;
    }
    const echo: Echo = { method: headers[':method'] ?? '', path: headers[':path'] ?? '', headers: {} };
    for (const [name, value] of Object.entries(headers)) echo.headers[name] = [value].flat().join(' | ');
    stream.respond({ ':status': 200, 'content-type': 'application/json' });
    stream.end(JSON.stringify(echo));
  });
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      for (const session of sessions) session.destroy();
      await closed.promise;
    },
  };
}
