import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, createServer as createTlsServer, type SecureContextOptions } from 'node:tls';
import type { Log } from '../runtime/log.ts';
import { secretFromFile, watchSecret } from '../runtime/secret.ts';

/** Certificate and key of the server, and the authority that clients' certificates must come from: paths of PEM files. */
export type TlsFiles = {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string | undefined;
};

export type Transport = {
  readonly server: Server;
  /** Takes no further connections and stops watching files; resolves when the last connection has ended. */
  close(): Promise<void>;
  /** Ends every connection at once. */
  destroyConnections(): void;
};

export type TransportOptions = {
  tls: TlsFiles | undefined;
  /** undefined: `onConnection` bounds them. */
  maxConnections: number | undefined;
  /** Time for a TLS handshake, and for the first byte after it; ms. */
  helloTimeoutMs: number;
  /** How often certificate files are looked at; default 5000. */
  certificatesEveryMs?: number | undefined;
  log: Log;
  onConnection(socket: Socket): void;
};

/**
 * What is below HTTP/2: a listener whose connections are bounded, over TLS 1.2 or newer when asked for. Changed
 * certificate files apply to new connections within 5 s; a pair that doesn't fit leaves the old one in use.
 * @throws ERR_SECRET_UNREADABLE, and node:tls's errors for files that are no PEM or don't fit each other
 */
export function createTransport(options: TransportOptions): Transport {
  const { tls, log, helloTimeoutMs } = options;
  const open = new Set<Socket>();

  function accept(socket: Socket): void {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', (thrown) => log.debug('connection failed', { err: thrown }));
    const seenBytes = socket.bytesRead;
    const timer = setTimeout(() => {
      if (socket.bytesRead === seenBytes) socket.destroy();
    }, helloTimeoutMs);
    timer.unref();
    // It would keep the socket, and all that hangs on it.
    socket.once('close', () => clearTimeout(timer));
    options.onConnection(socket);
  }

  const server =
    tls === undefined
      ? createServer({ noDelay: true }, accept)
      : createTlsServer(
          {
            ...readTlsFiles(tls),
            ALPNProtocols: ['h2'],
            minVersion: 'TLSv1.2',
            handshakeTimeout: helloTimeoutMs,
            requestCert: tls.clientCa !== undefined,
            rejectUnauthorized: true,
            noDelay: true,
          },
          accept,
        ).on('tlsClientError', (thrown) => log.debug('TLS handshake failed', { err: thrown }));
  if (options.maxConnections !== undefined) server.maxConnections = options.maxConnections;
  const stopWatching =
    tls === undefined || !('setSecureContext' in server) ? [] : watchTlsFiles(tls, server, options);

  return {
    server,
    destroyConnections: () => {
      for (const socket of open) socket.destroy();
    },
    close: async () => {
      for (const stop of stopWatching) stop();
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      await promise;
    },
  };
}

type SecureServer = { setSecureContext(options: SecureContextOptions): void };

function readTlsFiles({ cert, key, clientCa }: TlsFiles): SecureContextOptions {
  return {
    cert: secretFromFile(cert).bytes(),
    key: secretFromFile(key).bytes(),
    ...(clientCa === undefined ? {} : { ca: secretFromFile(clientCa).bytes() }),
  };
}

function watchTlsFiles(tls: TlsFiles, server: SecureServer, options: TransportOptions): (() => void)[] {
  const { log, certificatesEveryMs } = options;
  const paths = [tls.cert, tls.key, tls.clientCa].filter((path) => path !== undefined);
  const reload = (file: string): void => {
    try {
      const files = readTlsFiles(tls);
      // Refuses a certificate and a key of different pairs, as there are between two writes.
      createSecureContext(files);
      server.setSecureContext(files);
      log.info('certificates read again', { file });
    } catch (thrown) {
      log.warn('changed certificate files do not fit; the old ones stay in use', { file, err: thrown });
    }
  };
  return paths.map((path) => watchSecret(secretFromFile(path), () => reload(path), certificatesEveryMs));
}
