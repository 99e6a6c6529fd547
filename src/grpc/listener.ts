import { createServer, type Server, type Socket } from 'node:net';
import type { Log } from '../runtime/log.ts';
import type { ServerBounds } from './server-bounds.ts';
import { createTlsListener, type TlsFiles, type TlsListener } from './tls-listener.ts';

export type Listener = {
  readonly server: Server;
  /** Accepts no further connections and stops watching files; resolves when the last connection has ended. */
  close(): Promise<void>;
  /** Ends every connection at once. */
  destroyConnections(): void;
};

export type ListenerOptions = {
  tls: TlsFiles | undefined;
  /** undefined: `onConnection` bounds them. */
  maxConnections: number | undefined;
  bounds: Pick<ServerBounds, 'firstByteTimeoutMs' | 'maxHandshakes' | 'handshakeTimeoutMs'>;
  /** How often certificate files are checked for changes; default 5000. */
  certificatesEveryMs?: number | undefined;
  log: Log;
  /** A new connection, after its TLS handshake. */
  onConnection(socket: Socket): void;
};

/**
 * Accepts the connections below HTTP/2, with or without TLS.
 * @throws ERR_SECRET_UNREADABLE, and the errors of node:tls for files that are not PEM or don't match
 */
export function createListener(options: ListenerOptions): Listener {
  const { tls, bounds, log } = options;
  const open = new Set<Socket>();

  function accept(socket: Socket): void {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', (thrown) => log.debug('connection failed', { err: thrown }));
    const bytesBefore = socket.bytesRead;
    const timer = setTimeout(() => {
      if (socket.bytesRead === bytesBefore) socket.destroy();
    }, bounds.firstByteTimeoutMs);
    timer.unref();
    // The timer would keep the closed socket in memory.
    socket.once('close', () => clearTimeout(timer));
    options.onConnection(socket);
  }

  const { server, stopWatching }: TlsListener =
    tls === undefined
      ? { server: createServer({ noDelay: true }, accept), stopWatching: () => {} }
      : createTlsListener({
          tls,
          bounds,
          certificatesEveryMs: options.certificatesEveryMs,
          log,
          onConnection: accept,
        });
  if (options.maxConnections !== undefined) server.maxConnections = options.maxConnections;

  return {
    server,
    destroyConnections: () => {
      for (const socket of open) socket.destroy();
    },
    close: async () => {
      stopWatching();
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      await promise;
    },
  };
}
