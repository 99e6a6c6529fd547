import { constants } from 'node:crypto';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import {
  createSecureContext,
  createServer as createTlsServer,
  type Server as TlsServer,
  type SecureContextOptions,
} from 'node:tls';
import type { Log } from '../runtime/log.ts';
import { secretFromFile, watchSecret } from '../runtime/secret.ts';

/**
 * Certificate and key of the server, and the authority that must have signed clients' certificates: paths of
 * PEM files.
 */
export type TlsFiles = {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string | undefined;
};

export type HandshakeBounds = {
  /** Handshakes at once. A further one ends the oldest, so slow clients cannot lock out a fast one. */
  readonly maxHandshakes: number;
  /** For the whole handshake, however many bytes arrive meanwhile; ms. */
  readonly handshakeTimeoutMs: number;
};

export type TlsListenerOptions = {
  tls: TlsFiles;
  bounds: HandshakeBounds;
  /** How often certificate files are checked for changes; ms. */
  certificatesEveryMs: number | undefined;
  log: Log;
  /** A handshake is complete; where `clientCa` is set, the client's certificate was verified. */
  onConnection(socket: Socket): void;
};

export type TlsListener = { readonly server: Server; stopWatching(): void };

/**
 * A TCP listener with TLS 1.2 or newer on its connections. Changed certificate files apply to new
 * connections; a pair that doesn't match leaves the old one in use.
 * @throws ERR_SECRET_UNREADABLE, and the errors of node:tls for files that are not PEM or don't match
 */
export function createTlsListener(options: TlsListenerOptions): TlsListener {
  const { tls, bounds, log, onConnection } = options;
  const handshakes = new Handshakes(bounds, log);
  const tlsServer = createTlsServer(
    {
      ...readTlsFiles(tls),
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.2',
      // RFC 9113 §9.2.1 forbids renegotiation, and it would let a client repeat the expensive part of a
      // handshake.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      requestCert: tls.clientCa !== undefined,
      rejectUnauthorized: true,
    },
    (socket) => {
      handshakes.completed(socket);
      onConnection(socket);
    },
  ).on('tlsClientError', (thrown) => log.debug('TLS handshake failed', { err: thrown }));
  const server = createTcpServer({ noDelay: true }, (socket) => {
    socket.on('error', (thrown) => log.debug('connection failed', { err: thrown }));
    // The documented way to hand a connection to a TLS server that doesn't listen itself.
    if (handshakes.begin(socket)) tlsServer.emit('connection', socket);
  });
  const stops = watchTlsFiles(tlsServer, options);
  return {
    server,
    stopWatching: () => {
      for (const stop of stops) stop();
    },
  };
}

/** The two ends of a connection, which are the same for the TCP socket and for the TLS socket on it. */
const endsOf = ({ localAddress, localPort, remoteAddress, remotePort }: Socket): string | undefined =>
  remotePort === undefined ? undefined : `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;

/** The connections whose handshake isn't complete. */
class Handshakes {
  readonly #bounds: HandshakeBounds;
  readonly #log: Log;
  /** In the order of their begin. */
  readonly #pending = new Map<string, { readonly socket: Socket; readonly timer: NodeJS.Timeout }>();

  constructor(bounds: HandshakeBounds, log: Log) {
    this.#bounds = bounds;
    this.#log = log;
  }

  /** @returns false for a connection that its client has closed already */
  begin(socket: Socket): boolean {
    const ends = endsOf(socket);
    if (ends === undefined) {
      socket.destroy();
      return false;
    }
    if (this.#pending.size >= this.#bounds.maxHandshakes) this.#endOldest();
    const timer = setTimeout(() => this.#end(ends, 'too slow'), this.#bounds.handshakeTimeoutMs).unref();
    this.#pending.set(ends, { socket, timer });
    socket.once('close', () => this.#forget(ends));
    return true;
  }

  completed(socket: Socket): void {
    const ends = endsOf(socket);
    if (ends !== undefined) this.#forget(ends);
  }

  #endOldest(): void {
    for (const ends of this.#pending.keys()) return this.#end(ends, 'too many at once');
  }

  #end(ends: string, cause: string): void {
    const { socket } = this.#pending.get(ends) ?? {};
    this.#log.debug('TLS handshake failed', { cause });
    this.#forget(ends);
    socket?.destroy();
  }

  #forget(ends: string): void {
    clearTimeout(this.#pending.get(ends)?.timer);
    this.#pending.delete(ends);
  }
}

function readTlsFiles({ cert, key, clientCa }: TlsFiles): SecureContextOptions {
  return {
    cert: secretFromFile(cert).bytes(),
    key: secretFromFile(key).bytes(),
    ...(clientCa === undefined ? {} : { ca: secretFromFile(clientCa).bytes() }),
  };
}

function watchTlsFiles(
  server: TlsServer,
  { tls, log, certificatesEveryMs }: TlsListenerOptions,
): (() => void)[] {
  const paths = [tls.cert, tls.key, tls.clientCa].filter((path) => path !== undefined);
  const reload = (file: string): void => {
    try {
      const files = readTlsFiles(tls);
      // Throws for a certificate and a key of different pairs, as there are between two writes.
      createSecureContext(files);
      server.setSecureContext(files);
      log.info('certificates reloaded', { file });
    } catch (thrown) {
      log.warn('changed certificate files do not match: the old ones stay in use', { file, err: thrown });
    }
  };
  return paths.map((path) => watchSecret(secretFromFile(path), () => reload(path), certificatesEveryMs));
}
